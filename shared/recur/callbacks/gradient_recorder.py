"""What the gradient monitor keeps: numbers, in the traced training step, and summaries, for TensorBoard."""

import io
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from recur.callbacks.gradient_tap import Gradients
from recur.gradients.heat_maps import gradient_flow, gradient_through_time
from recur.gradients.records import Record
from recur.gradients.statistics import dense, norms, share_of_zeros, without_gradient

DEAD_AFTER = 5  # looks in a row without any gradient: a unit may well be idle in one batch
SAMPLE = 1024  # elements of each gradient, evenly spaced, of which a histogram is drawn


class GradientRecorder:
    """Writes down what gradients are like, in variables of its own, on the steps for which `due` is true.

    Whether gradients are finite it counts at every step: the one thing that must not fall between two looks. It is fit
    for XLA, and no step is traced anew.

    Args:
        model: Whose gradients are recorded; it may be built later, by its first step.
        samples: Whether to keep a sample of each gradient, for histograms.

    Attributes:
        due: Whether the next step is to be recorded.
        variables: Those the model trains; empty until it is built.
        tapped: Which of them have a gradient.
    """

    def __init__(self, model: keras.Model, samples: bool = False):
        self.due = tf.Variable(False, trainable=False)
        self.variables: list[keras.Variable] = []
        self._bad = tf.Variable(tf.zeros(0, tf.int32), trainable=False)
        self.tapped: list[int] = []
        self._model, self._with_samples = model, samples
        self._seen, self._steps, self._bad_steps, self._moved = (tf.Variable(0, trainable=False) for _ in range(4))
        if model.built:
            self._make_room()

    def _make_room(self) -> None:
        self.variables = list(self._model.trainable_variables)
        count = len(self.variables)
        with tf.init_scope():  # the step may be traced already
            self._bad = tf.Variable(tf.zeros(count, tf.int32), trainable=False)
            self._idle = [tf.Variable(tf.zeros(v.shape[-1:], tf.int32), trainable=False) for v in self.variables]
            self._statistics = tf.Variable(tf.zeros([3, count]), trainable=False)
            self._samples = tf.Variable(tf.zeros([count, SAMPLE]), trainable=False) if self._with_samples else None

    def record(self, gradients: Gradients, variables: list[keras.Variable]) -> Gradients:
        """What `GradientTap` calls; the gradients go on as they are."""
        if not {id(variable) for variable in variables} <= {id(variable) for variable in self.variables}:
            self._make_room()
        index = {id(variable): i for i, variable in enumerate(self.variables)}
        self.tapped = [index[id(variable)] for variable in variables]
        # The gradient of an embedding that is a softmax's kernel too has lost its shape.
        wide = [tf.ensure_shape(gradient, v.shape) for gradient, v in zip(dense(gradients), variables, strict=True)]
        lengths = norms(wide)
        bad = tf.cast(~tf.math.is_finite(lengths), tf.int32)
        self._steps.assign_add(1)
        self._bad.assign_add(self._placed(bad))
        self._bad_steps.assign_add(tf.reduce_max(bad))
        tf.cond(self.due, lambda: self._write(wide, lengths), lambda: None)
        return gradients

    def _write(self, gradients, lengths):
        self._seen.assign_add(1)
        # Where every gradient is zero that once was not, the loss may have reached its end: no unit is dead for that.
        moves = tf.reduce_any(lengths != 0)
        ended = ~moves & (self._moved > 0)
        self._moved.assign_add(tf.cast(moves, tf.int32))
        dead = []
        for i, gradient in zip(self.tapped, gradients, strict=True):
            counted = tf.where(without_gradient(gradient), self._idle[i] + 1, 0)
            idle = self._idle[i].assign(tf.where(ended, self._idle[i], counted))
            dead.append(tf.reduce_mean(tf.cast(idle >= DEAD_AFTER, tf.float32)))
        rows = [lengths, tf.stack([share_of_zeros(gradient) for gradient in gradients]), tf.stack(dead)]
        self._statistics.assign(tf.stack([self._placed(row) for row in rows]))
        if self._samples is not None:
            self._samples.assign(self._placed(tf.stack([_sample(gradient) for gradient in gradients])))

    def _placed(self, values):
        """Puts the values of the variables that have gradients in their rows; zeros elsewhere."""
        return tf.scatter_nd([[i] for i in self.tapped], values, [len(self.variables), *values.shape[1:]])

    def reset(self) -> None:
        """Begins counting anew."""
        by_variable = [self._bad, *self._idle] if self.variables else []
        for counter in (self._seen, self._steps, self._bad_steps, self._moved, *by_variable):
            counter.assign(tf.zeros_like(counter))

    def seen(self) -> int:
        """How many steps have been recorded."""
        return int(self._seen)

    def statistics(self) -> np.ndarray:
        """Of the last step recorded: norm, share of zeros, share of dead units, each a row; `[3, variables]`."""
        return self._statistics.numpy()

    def not_finite(self) -> tuple[int, int, np.ndarray]:
        """The number of updates since the start, of those with a gradient not finite, and of those by variable."""
        return int(self._steps), int(self._bad_steps), self._bad.numpy()

    def samples(self) -> np.ndarray | None:
        """Of the last step recorded, evenly spaced elements of each gradient, `[variables, SAMPLE]`."""
        return None if self._samples is None else self._samples.numpy()


def _sample(gradient):
    flat = tf.reshape(tf.cast(gradient, tf.float32), [-1])
    return tf.gather(flat, np.linspace(0, flat.shape[0] - 1, SAMPLE).astype(int))


def labels(
    variables: Sequence[keras.Variable], layers: Sequence[keras.layers.Layer], model: str
) -> list[tuple[str, str]]:
    """Says for each variable of a model which layer it belongs to, and of what kind it is.

    The cell of a recurrent layer is not named: it is the layer that a user knows.

    Args:
        variables: The variables.
        layers: The recurrent layers of the model.
        model: Its name.

    Returns:
        `(layer, kind)` for each, all different: "encoder/lstm" and "recurrent_kernel".
    """
    cells = {id(weight) for layer in layers if _has_one_cell(layer) for weight in layer.cell.trainable_variables}
    given: list[tuple[str, str]] = []
    for variable in variables:
        *path, kind = variable.path.split("/")
        path = path[1:] if path[:1] == [model] and len(path) > 1 else path
        path = path[:-1] if id(variable) in cells and len(path) > 1 else path
        name = same = "/".join(path) or kind
        count = 1
        while (name, kind) in given:
            count += 1
            name = f"{same} {count}"
        given.append((name, kind))
    return given


def _has_one_cell(layer):
    return isinstance(layer.cell, keras.layers.Layer) and not hasattr(layer.cell, "cells")


class GradientSummaries:
    """Writes scalars, histograms and heat maps.

    Args:
        folder: The log directory.
    """

    def __init__(self, folder: Path):
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, records: Sequence[Record], labels: Sequence[tuple[str, str]], recorder: GradientRecorder) -> None:
        """Writes what one look saw: numbers as scalars, samples of weights and of their gradients as histograms."""
        # Built in NumPy and written at once: TensorFlow's operations for each take a hundred times as long.
        summary = Summary()
        for record in records:
            if record.index is None:
                summary.MergeFrom(scalar_pb(_tag(record.layer, record.kind, record.quantity), record.value))
        samples = recorder.samples()
        assert samples is not None  # the monitor asks for them where it writes summaries
        for i in recorder.tapped:
            weight = recorder.variables[i].numpy().reshape(-1)
            some = weight[np.linspace(0, len(weight) - 1, SAMPLE).astype(int)]
            summary.MergeFrom(_histogram(_tag(*labels[i], "weight"), some))
            summary.MergeFrom(_histogram(_tag(*labels[i], "gradient"), samples[i]))
        with self._writer.as_default(records[0].step):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString())

    def heat_maps(self, step: int, records: pd.DataFrame) -> None:
        """Writes the pictures of all that was seen so far."""
        with self._writer.as_default(step):
            for name, draw in (("gradient_flow", gradient_flow), ("gradient_through_time", gradient_through_time)):
                figure = draw(records)
                if figure is not None:
                    content = io.BytesIO()
                    figure.savefig(content, format="png", dpi=80)
                    tf.summary.image(name, tf.io.decode_png(content.getvalue(), channels=4)[None])

    def close(self) -> None:
        """Writes what is still to be written."""
        self._writer.close()


def _tag(layer: str, kind: str, quantity: str) -> str:
    return f"gradients/{layer or 'model'}/{kind}/{quantity}"


def _histogram(tag: str, values: np.ndarray) -> Summary:
    return histogram_pb(tag, values[np.isfinite(values)].astype("float64"))

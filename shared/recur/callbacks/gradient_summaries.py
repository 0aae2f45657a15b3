"""What the gradient monitor shows in TensorBoard."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from recur.callbacks.gradient_recorder import SAMPLE, GradientRecorder
from recur.gradients.heat_maps import gradient_flow, gradient_through_time
from recur.gradients.records import Record


class GradientSummaries:
    """Writes scalars, histograms and heat maps.

    Args:
        folder: The log directory.
    """

    def __init__(self, folder: Path):
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, records: Sequence[Record], labels: Sequence[tuple], recorder: GradientRecorder) -> None:
        """Writes what one look saw: numbers as scalars, samples of weights and of their gradients as histograms."""
        # Built in NumPy and written at once: TensorFlow's operations for each take a hundred times as long.
        summary = Summary()
        for record in records:
            if record.index is None:
                summary.MergeFrom(scalar_pb(_tag(record.layer, record.kind, record.quantity), record.value))
        for i in recorder.tapped:
            weight = recorder.variables[i].numpy().reshape(-1)
            some = weight[np.linspace(0, len(weight) - 1, SAMPLE).astype(int)]
            summary.MergeFrom(_histogram(_tag(*labels[i], "weight"), some))
            summary.MergeFrom(_histogram(_tag(*labels[i], "gradient"), recorder.samples()[i]))
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
                    plt.close(figure)
                    tf.summary.image(name, tf.io.decode_png(content.getvalue(), channels=4)[None])

    def close(self) -> None:
        """Writes what is still to be written."""
        self._writer.close()


def _tag(layer: str, kind: str, quantity: str) -> str:
    return f"gradients/{layer or 'model'}/{kind}/{quantity}"


def _histogram(tag: str, values: np.ndarray) -> Summary:
    return histogram_pb(tag, values[np.isfinite(values)].astype("float64"))

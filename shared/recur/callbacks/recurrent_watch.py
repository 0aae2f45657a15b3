"""What a recurrent layer shows while its model trains: gradients at every step, and examples to look at later."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recur.gradients.statistics import saturated
from recur.gradients.through_time import carried, counting_first, flow, norms_through_time, watched_zeros

MAX_STEPS = 4096  # of a sequence, whose gradients are written down
ROWS, STEPS = 8, 32  # of a batch, that are kept to look at

_OURS = {"tanh": ("sigmoid", None), "relu": (None,)}  # the activations of the loops in `recur.layers.loop.cells`


class RecurrentWatch:
    """Watches one recurrent layer inside the traced training step, where and when `due` is true.

    The layers of `recur.layers.recurrent` report ‖∂L/∂h_t‖ from their own back propagation. Other layers get zeros
    added to their outputs, whose gradient is asked for: exact, for any cell whose output is its first state, at the
    price of a wider input. Weights, outputs and gradients are the same with and without.

    Args:
        layer: A `keras.layers.RNN` or a subclass, built.
        due: Whether this step is watched.
        wanted: Asked when a step is traced: where it says no, what an interrupted `fit` left behind removes itself.
    """

    def __init__(self, layer: keras.layers.RNN, due: tf.Variable, wanted: Callable[[], bool] = lambda: True):
        self.layer, self.due, self._wanted = layer, due, wanted
        self._norms = tf.Variable(tf.zeros(MAX_STEPS), trainable=False)
        self._kept: list[tf.Variable] = []  # inputs, lengths, states
        self._names: list[str] = []
        self._flow: Callable | None = None
        vars(layer).pop("inner_loop", None)
        self._original = layer.inner_loop
        self._fast = _reports_gradients(layer)
        layer.inner_loop = self._inner_loop
        if self._fast:
            layer.watch_gradient = self._write

    def remove(self) -> None:
        """Leaves the layer as it was."""
        if getattr(vars(self.layer).get("inner_loop"), "__self__", None) is not self:
            return
        del self.layer.inner_loop
        if self._fast:
            del self.layer.watch_gradient

    def reset(self) -> None:
        """Forgets the norms of the step before."""
        self._norms.assign(tf.zeros_like(self._norms))

    def norms(self) -> np.ndarray:
        """‖∂L/∂h_t‖ of the step just made, `[time]`, up to the last step that has a gradient."""
        norms = self._norms.numpy()
        return norms[: np.max(np.nonzero(norms), initial=-1) + 1]

    def look(self) -> tuple[np.ndarray, dict[str, float]]:
        """Runs the layer on a few rows of the batch just seen, with the weights of now.

        Returns:
            What share of a gradient is carried back over k steps, from k = 0 (see
            `recur.gradients.through_time.flow`), and the shares of saturated `gates` and `activations`. Empty for a
            layer that is not like that.
        """
        if not self._kept:
            return np.zeros(0), {}
        if self._flow is None:
            self._flow = tf.function(self._flow_of_kept, autograph=False).get_concrete_function()
        norms, lengths, shares = (tensor.numpy() for tensor in self._flow())
        by_kind: dict[str, list[float]] = {}
        for name, share in zip(self._names, shares, strict=True):
            by_kind.setdefault(name, []).append(float(share))
        return carried(norms, lengths), {name: float(np.mean(values)) for name, values in by_kind.items()}

    def _inner_loop(self, sequences, initial_state, mask, training=False):
        if not self._wanted():
            self.remove()
            return self._original(sequences, initial_state, mask, training=training)
        states = keras.tree.flatten(initial_state)
        if training is not True or not _is_plain(self.layer.cell, sequences, states):
            return self._original(sequences, initial_state, mask, training=training)
        counts = mask[0] if isinstance(mask, (list, tuple)) else mask
        counts = None if counts is None else tf.cast(counts, tf.bool)
        self._make_room(sequences, states)
        tf.cond(self.due, lambda: self._keep(sequences, states, counts), lambda: None)
        if self._fast:
            return self._original(sequences, initial_state, mask, training=training)
        width = self._width(states)
        pushes = watched_zeros(
            _smallest_weight(self.layer.cell, sequences),
            [*tf.unstack(tf.shape(sequences)[:2]), width],
            sequences.dtype,
            lambda gradient: self._write_norms_of(gradient, counts),
        )
        pushes = tf.ensure_shape(pushes, [*sequences.shape[:2], width])
        with _pushed(self.layer, width):
            return self._original(tf.concat([sequences, pushes], -1), initial_state, mask, training=training)

    def _width(self, states):
        return getattr(self.layer.cell, "output_size", None) or states[0].shape[-1]

    def _write_norms_of(self, gradient, mask):
        def write():
            self._norms_assign(norms_through_time(gradient, mask, self.layer.go_backwards), 0)

        tf.cond(self.due, write, lambda: None)

    def _write(self, norms, begin=0):
        tf.cond(self.due, lambda: self._norms_assign(norms, begin), lambda: None)

    def _norms_assign(self, norms, begin):
        """Adds the norms of a part of the sequence: parts do not overlap, and two calls of a layer are summed."""
        norms = tf.cast(norms, tf.float32)[: max(MAX_STEPS - begin, 0)]
        self._norms.assign_add(tf.pad(norms, [[begin, MAX_STEPS - begin - tf.shape(norms)[0]]])[:MAX_STEPS])

    def _make_room(self, sequences, states):
        if self._kept:
            return
        shapes = [[ROWS, STEPS, sequences.shape[-1]], *([ROWS, state.shape[-1]] for state in states)]
        with tf.init_scope():
            x, *rest = (_variable(tf.zeros(shape)) for shape in shapes)
            self._kept = [x, _variable(tf.zeros(ROWS, tf.int32)), *rest]

    def _keep(self, sequences, states, mask):
        """Writes down the first steps that count of the first rows."""
        rows = tf.range(ROWS) % tf.shape(sequences)[0]
        x = tf.stop_gradient(tf.gather(sequences, rows))
        time = tf.shape(x)[1]
        mask = None if mask is None else tf.gather(mask, rows)
        if self.layer.go_backwards:
            x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
        lengths = tf.fill([ROWS], time)
        if mask is not None:
            x = tf.gather(x, counting_first(mask), batch_dims=1)
            lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        x = tf.gather(x, tf.minimum(tf.range(STEPS), time - 1), axis=1)
        values = [x, tf.minimum(lengths, STEPS), *(tf.stop_gradient(tf.gather(state, rows)) for state in states)]
        for variable, value in zip(self._kept, values, strict=True):
            variable.assign(tf.cast(value, variable.dtype))

    def _flow_of_kept(self):
        x, lengths, *states = self._kept
        cell, structure = self.layer.cell, self.layer.state_size
        dtype = cell.compute_dtype
        states = [tf.cast(state, dtype) for state in states]
        names: list[str] = []

        def step(x, states):
            names.clear()
            nested = keras.tree.pack_sequence_as(structure, list(states))
            with _recorded(cell) as record:
                _, after = cell(x, nested, training=False)
            names.extend(name for name, _ in record)
            shares = [tf.cast(share, tf.float32) for _, share in record] or [tf.zeros([ROWS])]
            return [tf.cast(state, dtype) for state in keras.tree.flatten(after)], tf.stack(shares, axis=-1)

        norms, shares = flow(step, tf.cast(x, dtype), states, lengths)
        self._names = list(names)
        return norms, tf.identity(lengths), shares[: len(names)]


def _reports_gradients(layer: keras.layers.RNN) -> bool:
    """Whether the layer's own loop will call `watch_gradient`; see `recur.layers.recurrent`."""
    if not hasattr(layer, "watch_gradient") or layer.unroll or layer.cell.recurrent_dropout:
        return False
    if getattr(layer, "use_cudnn", None) is True or tf.config.list_logical_devices("GPU"):
        return False
    names = [getattr(getattr(layer.cell, name, None), "__name__", None) for name in _ACTIVATIONS]
    return names[0] in _OURS and names[1] in _OURS[names[0]]


def _is_plain(cell: Any, sequences: Any, states: list[tf.Tensor]) -> bool:
    """Whether a cell is a Keras layer from vectors to vectors: what the watch adds to its inputs it has to take."""
    if not (tf.is_tensor(sequences) and sequences.dtype.is_floating and len(sequences.shape) == 3):
        return False
    vectors = all(len(state.shape) == 2 for state in states)
    size = getattr(cell, "output_size", None)
    return vectors and isinstance(cell, keras.layers.Layer) and not cell.input_spec and isinstance(size, int | None)


def _smallest_weight(cell: Any, otherwise: tf.Tensor) -> tf.Tensor:
    weights = [weight for weight in getattr(cell, "trainable_variables", []) if None not in weight.shape]
    return tf.convert_to_tensor(min(weights, key=lambda w: np.prod(w.shape)).value) if weights else otherwise


@contextlib.contextmanager
def _pushed(layer: keras.layers.RNN, width: int) -> Iterator[None]:
    """Within the block the cell takes what is added to its output as the last `width` features of its input."""
    cell = layer.cell
    step, cudnn = cell.call, getattr(layer, "use_cudnn", None)

    def call(inputs, states, *arguments, **options):
        output, after = step(inputs[:, :-width], states, *arguments, **options)
        pushed = output + inputs[:, -width:]
        return pushed, keras.tree.map_structure(lambda state: pushed if state is output else state, after)

    cell.call = call
    if cudnn is not None:
        layer.use_cudnn = False
    try:
        yield
    finally:
        del cell.call
        if cudnn is not None:
            layer.use_cudnn = cudnn


_ACTIVATIONS = {"activation": "activations", "recurrent_activation": "gates"}


@contextlib.contextmanager
def _recorded(cell: Any) -> Iterator[list[tuple[str, tf.Tensor]]]:
    """Within the block a cell's activations are recorded: their kind, and the share of each row that saturates."""
    record: list[tuple[str, tf.Tensor]] = []

    def recording(function: Callable, kind: str) -> Callable:
        def call(inputs):
            outputs = function(inputs)
            if (share := saturated(outputs, getattr(function, "__name__", ""))) is not None:
                record.append((kind, share))
            return outputs

        return call

    kept = [
        (part, name, getattr(part, name), kind)
        for part in getattr(cell, "cells", [cell])
        for name, kind in _ACTIVATIONS.items()
        if callable(getattr(part, name, None))
    ]
    try:
        for part, name, function, kind in kept:
            setattr(part, name, recording(function, kind))
        yield record
    finally:
        for part, name, function, _ in kept:
            setattr(part, name, function)


def _variable(value):
    """A variable that a function may make while it is traced, and is not traced a second time for it."""
    return tf.Variable(value, trainable=False, experimental_enable_variable_lifting=False)

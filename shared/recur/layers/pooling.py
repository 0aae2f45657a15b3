"""Pooling: from the outputs of all steps to one vector, whatever the padding."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from tensorflow import Tensor

from recur.errors import lookup
from recur.layers.attention import masked_softmax


class SequencePooling(keras.layers.Layer):
    """What all poolings share: inputs [batch, time, features] and a mask go in, [batch, features] comes out.

    Padding does not count, and a row that is all padding gives zeros. The mask [batch, time] is True at real steps;
    Keras fills it in where the layer before hands one on.
    """

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pools sequences [batch, time, features]; see the class."""
        return self.pool(inputs, _or_all(mask, inputs))

    def pool(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Returns [batch, features]."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape without time."""
        return (input_shape[0], input_shape[-1])

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        """Returns None: there are no steps left to mask."""


@keras.saving.register_keras_serializable("recur")
class LastPooling(SequencePooling):
    """The output at the last real step: for a recurrent layer, its state once it has read everything.

    Args:
        bidirectional: Whether the second half of the features was read backwards, so that its last step is the first.

    Example:
        >>> LastPooling()(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 3])
    """

    def __init__(self, bidirectional: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.bidirectional = bidirectional

    def pool(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Returns the outputs at the last step, and at the first where they were read backwards."""
        steps = ops.arange(ops.shape(mask)[1])
        last = ops.max(ops.where(mask, steps, 0), axis=1)
        parts = [(inputs, last)]
        if self.bidirectional:
            forward, backward = ops.split(inputs, 2, axis=-1)
            parts = [(forward, last), (backward, ops.argmax(mask, axis=1))]
        read = [tf.gather(part, step, axis=1, batch_dims=1) for part, step in parts]
        return ops.where(ops.any(mask, axis=1, keepdims=True), ops.concatenate(read, axis=-1), 0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"bidirectional": self.bidirectional}


@keras.saving.register_keras_serializable("recur")
class MaxPooling(SequencePooling):
    """The greatest value of each feature over the real steps (Collobert & Weston 2008).

    Example:
        >>> MaxPooling()(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 3])
    """

    def pool(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Returns the maximum over the steps that count."""
        greatest = ops.max(ops.where(mask[:, :, None], inputs, float("-inf")), axis=1)
        return ops.where(ops.any(mask, axis=1, keepdims=True), greatest, 0)


@keras.saving.register_keras_serializable("recur")
class MeanPooling(SequencePooling):
    """The mean over the real steps, which are counted row by row.

    Example:
        >>> MeanPooling()(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 3])
    """

    def pool(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Returns the sum over the real steps, divided by their number."""
        # Half precision cannot hold the sum of a long sequence.
        wide = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        real = ops.cast(mask, wide.dtype)
        counts = ops.maximum(ops.sum(real, axis=1, keepdims=True), 1)
        return ops.cast(ops.einsum("bt,btf->bf", real / counts, wide), inputs.dtype)


@keras.saving.register_keras_serializable("recur")
class AttentionPooling(SequencePooling):
    """A mean weighted by what was learned to be important (Yang et al. 2016, equations 5 to 7).

    A step h_t scores u^T tanh(W h_t + b): additive attention whose query, u, is the same for all sequences.

    Args:
        units: Length of u.

    Example:
        >>> pooling = AttentionPooling(8)
        >>> pooled, weights = pooling.attend(keras.ops.ones((2, 5, 3)))
        >>> pooled.shape, weights.shape
        (TensorShape([2, 3]), TensorShape([2, 5]))
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.projection = keras.layers.Dense(units, "tanh", name="projection", dtype=self.dtype_policy)
        self.alignment = keras.layers.Dense(1, use_bias=False, name="alignment", dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Builds W, b and u."""
        self.projection.build(input_shape)
        self.alignment.build((None, self.units))

    def pool(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Returns the weighted mean."""
        return self.attend(inputs, mask)[0]

    def attend(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the weighted mean [batch, features] and the weights [batch, time], which show what counted."""
        scores = ops.squeeze(self.alignment(self.projection(inputs)), -1)
        weights = masked_softmax(scores, _or_all(mask, inputs))
        return ops.einsum("bt,btf->bf", weights, ops.cast(inputs, self.compute_dtype)), weights

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable("recur")
class ConcatPooling(SequencePooling):
    """The last output, the greatest values and the mean, side by side (Howard & Ruder 2018, section 3.3).

    Args:
        bidirectional: As in `LastPooling`.

    Example:
        >>> ConcatPooling()(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 9])
    """

    def __init__(self, bidirectional: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.bidirectional = bidirectional
        self.parts = [LastPooling(bidirectional, dtype=self.dtype_policy)]
        self.parts += [kind(dtype=self.dtype_policy) for kind in (MaxPooling, MeanPooling)]

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Says to Keras that the parts have no weights to build."""
        for part in self.parts:
            part.build(input_shape)

    def pool(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Returns [batch, 3 * features]."""
        return ops.concatenate([part.pool(inputs, mask) for part in self.parts], axis=-1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape without time, three times as wide."""
        assert input_shape[-1] is not None
        return (input_shape[0], 3 * input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"bidirectional": self.bidirectional}


POOLINGS: dict[str, type[SequencePooling]] = {
    "last": LastPooling,
    "max": MaxPooling,
    "mean": MeanPooling,
    "attention": AttentionPooling,
    "concat": ConcatPooling,
}


def pooling(kind: str, **options: Any) -> SequencePooling:
    """A pooling by name.

    Args:
        kind: `last`, `max`, `mean`, `attention`, or `concat` of the first three.
        **options: Of the class: `bidirectional` for `last` and `concat`, `units` for `attention`.

    Raises:
        ValueError: There is no such pooling; the message lists those there are.

    Example:
        >>> pooling("max")(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 3])
    """
    return lookup("pooling", kind, POOLINGS)(**options)


def _or_all(mask: Tensor | None, inputs: Tensor) -> Tensor:
    """Returns the mask, or without one a mask by which every step counts."""
    return ops.ones(ops.shape(inputs)[:2], "bool") if mask is None else ops.cast(mask, "bool")

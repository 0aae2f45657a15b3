"""Embedding dropout. For variational dropout of any other sequence, Keras has the layer already.

Dropout with one mask for all steps (Gal & Ghahramani 2016; "locked" dropout in Merity et al. 2018) of a sequence
`[batch, time, features]` is `keras.layers.SpatialDropout1D(rate)`: it drops a feature of a sequence at all steps, and
hands masks on. Inside a recurrent layer, `dropout` and `recurrent_dropout` do the same.
"""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class DropoutEmbedding(keras.layers.Embedding):
    """An embedding that drops whole words in training (Gal & Ghahramani 2016; Merity et al. 2018, section 4.3).

    A dropped word is zeros wherever it stands in the batch; the others are divided by 1 - `dropout`.

    Args:
        input_dim: How many words there are.
        output_dim: Dimension of a word's vector.
        dropout: Probability that a word is dropped; the default is that of AWD-LSTM.
        seed: Of the draw.
        **options: Those of `keras.layers.Embedding`.

    Raises:
        ValueError: The rate is not at least 0 and less than 1.

    Example:
        >>> DropoutEmbedding(10, 4, dropout=0.1, mask_zero=True)(keras.ops.ones((2, 5), "int32"), training=True).shape
        TensorShape([2, 5, 4])
    """

    def __init__(
        self, input_dim: int, output_dim: int, *, dropout: float = 0.1, seed: int | None = None, **options: Any
    ):
        super().__init__(input_dim, output_dim, **options)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it must be at least 0 and less than 1")
        self.dropout = dropout
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Returns the words' vectors: `[batch, time]` gives `[batch, time, output_dim]`."""
        outputs = super().call(inputs)
        if not (training and self.dropout):
            return outputs
        words = keras.random.dropout(
            ops.ones((self.input_dim, 1), self.compute_dtype), self.dropout, seed=self.seed_generator
        )
        return outputs * ops.take(words, ops.cast(inputs, "int32"), axis=0)

    def compute_output_spec(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """The shape of `call`'s result; Keras's own takes no `training`."""
        return super().compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        """See `keras.layers.Layer`."""
        return super().get_config() | {"dropout": self.dropout, "seed": self.seed}

"""The character language model: embedding, recurrent stack, softmax."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops
from tensorflow import Tensor

from apps.text_generation.config import TextGenerationConfig
from recur.layers.builders import recurrent_stack
from recur.training.model import ConfiguredModel


@keras.saving.register_keras_serializable("recur")
class CharacterLanguageModel(ConfiguredModel[TextGenerationConfig]):
    """Predicts each next character from those before it.

    `call` is what training uses: it carries the state from batch to batch, in truncated back-propagation through time
    (Williams and Peng 1990; the gradient is cut at the window). `advance` and `step` take and return the state instead.

    Args:
        config: Its hyperparameters.
        vocabulary_size: Symbols, the unknown one included.
    """

    config_type = TextGenerationConfig
    renamed: ClassVar[Mapping[str, str]] = {"streams": "batch_size"}

    def __init__(self, config: TextGenerationConfig | None = None, *, vocabulary_size: int, **settings: Any):
        super().__init__(config, {"vocabulary_size": vocabulary_size}, **settings)
        config = self.config
        embedding_units = config.embedding_units
        self.embedding = keras.layers.ReversibleEmbedding(
            vocabulary_size, embedding_units, tie_weights=True, embeddings_initializer="uniform", name="embedding"
        )
        self.input_dropout = keras.layers.Dropout(config.dropout)
        self.stack = recurrent_stack(config.cell, config.units, config.layers, dropout=config.dropout)
        self.output_dropout = keras.layers.Dropout(config.dropout)
        projected = config.tie_output and embedding_units != config.units
        self.projection = keras.layers.Dense(embedding_units) if projected else None
        self.softmax_logits = None if config.tie_output else keras.layers.Dense(vocabulary_size)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers and the carried states: one set for training, one for validation."""
        embedding_units, units, streams = self.config.embedding_units, self.config.units, self.config.batch_size
        self.embedding.build((None, None))
        self.stack.build((None, None, embedding_units))
        if self.projection:
            self.projection.build((None, None, units))
        if self.softmax_logits:
            self.softmax_logits.build((None, None, units))
        self.carried = {
            phase: [
                self.add_weight(shape=(streams, size), initializer="zeros", trainable=False, name=f"{phase}_{i}")
                for i, size in enumerate(self.stack.state_sizes)
            ]
            for phase in ("training", "validation")
        }
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Logits of the next characters, with the state carried from the batch before.

        Args:
            inputs: `symbols` int32 [streams, window]; `carry` float32 [streams], 0 for a stream that begins.
            training: Whether dropout is active.

        Returns:
            [streams, window, vocabulary].
        """
        carried = self.carried["training" if training else "validation"]
        keep = ops.expand_dims(inputs["carry"], -1)
        states = [ops.cast(state * keep, self.compute_dtype) for state in carried]
        logits, after = self.advance(inputs["symbols"], states, training=training)
        for variable, state in zip(carried, after, strict=True):
            variable.assign(ops.cast(ops.stop_gradient(state), variable.dtype))
        return logits

    def advance(self, symbols: Tensor, states: list[Tensor], training: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Reads symbols [batch, time] from a state; logits [batch, time, vocabulary] and the state after them."""
        embedded = self.input_dropout(self.embedding(symbols), training=training)
        outputs, after = self.stack(embedded, initial_state=states, training=training)
        return self._logits(self.output_dropout(outputs, training=training)), after

    def read(self, symbols: Tensor, states: list[Tensor], mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Reads right-padded symbols [batch, time]; logits [batch, vocabulary] and state after each row's last."""
        outputs, after = self.stack(self.embedding(symbols), initial_state=states, mask=mask)
        return self._logits(outputs[:, -1]), after  # a masked step shows the output of the last that is not

    def step(self, symbols: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Reads one symbol a row [batch] from a state; logits [batch, vocabulary] and the new state."""
        outputs, after = self.stack.step(self.embedding(symbols), states)
        return self._logits(outputs), after

    def zero_states(self, batch: Tensor) -> list[Tensor]:
        """States of texts that have not begun."""
        return self.stack.zero_states(batch)

    def _logits(self, outputs: Tensor) -> Tensor:
        if self.softmax_logits:
            return ops.cast(self.softmax_logits(outputs), "float32")
        projected = self.projection(outputs) if self.projection else outputs
        return ops.cast(self.embedding(projected, reverse=True), "float32")

"""The translation model: shared subword embeddings, a bidirectional encoder, a decoder with attention."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from tensorflow import Tensor

from apps.translation.config import TranslationConfig
from recur.layers.attention import ProjectedMemory
from recur.layers.builders import attention_decoder, recurrent_encoder
from recur.layers.networks import EncoderDecoder
from recur.layers.regularization import DropoutEmbedding
from recur.text.words import PADDING
from recur.training.model import ConfiguredModel


@keras.saving.register_keras_serializable("recur")
class TranslationModel(ConfiguredModel[TranslationConfig]):
    """An encoder–decoder with attention whose three matrices of words are one (Press & Wolf 2017).

    Source embedding, target embedding and softmax share their weights, as the two languages share their subwords. The
    output of the decoder is brought to the embedding's width before it is compared with every subword.

    Args:
        config: Its hyperparameters.
        vocabulary_size: Subwords, special ids included: as many as there are, whatever the configuration asked for.
    """

    config_type = TranslationConfig

    def __init__(self, config: TranslationConfig | None = None, *, vocabulary_size: int, **settings: Any):
        super().__init__(config, {"vocabulary_size": vocabulary_size}, **settings)
        config = self.config
        # As wide as is usual where a softmax shares the weights (Vaswani et al. 2017, section 3.4).
        initializer = keras.initializers.RandomNormal(stddev=config.embedding_units**-0.5)
        self.embedding = DropoutEmbedding(
            vocabulary_size,
            config.embedding_units,
            dropout=config.word_dropout,
            embeddings_initializer=initializer,
            name="embedding",
        )
        self.embedding_dropout = keras.layers.SpatialDropout1D(config.embedding_dropout)
        self.context_dropout = keras.layers.Dropout(config.context_dropout)
        self.network = EncoderDecoder(
            recurrent_encoder(config.cell, config.units, config.encoder_layers, dropout=config.context_dropout),
            attention_decoder(
                config.decoder,
                config.cell,
                config.units,
                config.decoder_layers,
                attention=config.attention or None,
                dropout=config.context_dropout,
                **({"input_feeding": True} if config.input_feeding else {}),
            ),
        )
        self.projection = keras.layers.Dense(config.embedding_units, use_bias=False, name="projection")
        self.output_dropout = keras.layers.Dropout(config.output_dropout)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers."""
        width = self.config.embedding_units
        self.embedding.build((None, None))
        self.network.build((None, None, width), (None, None, width))
        self.projection.build((None, self.network.decoder.units))
        subwords = self.sizes["vocabulary_size"]
        self.softmax_bias = self.add_weight(shape=(subwords,), initializer="zeros", name="softmax_bias")
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Logits of every next subword of the wanted translations.

        Args:
            inputs: `source` int32 [batch, time], subwords and the end, padded on the right; `target` int32
                [batch, steps], the begin and the subwords.
            training: Whether dropout is active.

        Returns:
            float32 [tokens, vocabulary_size], of the steps that are not padding, one sentence after the other: the
            softmax is half of the work.
        """
        encoder, decoder = self.network.encoder, self.network.decoder
        mask = inputs["source"] != PADDING
        memory, states = encoder(self._embed(inputs["source"], training), mask=mask, training=training)
        outputs, _, _ = decoder(
            self._embed(inputs["target"], training),
            self.context_dropout(memory, training=training),
            encoder.summary(states),
            memory_mask=mask,
            training=training,
        )
        return self._logits(tf.boolean_mask(outputs, inputs["target"] != PADDING), training)

    def begin(self, source: Tensor) -> tuple[list[Tensor], ProjectedMemory]:
        """Reads sources int32 [batch, time]: the states [batch, size] to decode from, and the memory."""
        return self.network.begin(self._embed(source), source != PADDING)

    def step(
        self, symbols: Tensor, states: Sequence[Tensor], memory: ProjectedMemory
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Advances by one subword.

        Args:
            symbols: int32 [batch], the subwords before.
            states: From `begin` or the step before.
            memory: From `begin`.

        Returns:
            Logits [batch, vocabulary_size], the new states, and the attention's weights [batch, time].
        """
        embedded = self._embed(symbols[:, None])[:, 0]
        output, states, weights = self.network.step(embedded, states, memory)
        if len(weights.shape) == 3:  # of several heads
            weights = ops.mean(weights, axis=1)
        return self._logits(output), states, weights

    def _embed(self, ids: Tensor, training: bool = False) -> Tensor:
        return self.embedding_dropout(self.embedding(ids, training=training), training=training)

    def _logits(self, outputs: Tensor, training: bool = False) -> Tensor:
        """Compares outputs [rows, units] with all subwords."""
        projected = self.output_dropout(self.projection(outputs), training=training)
        matrix = ops.cast(self.embedding.embeddings, projected.dtype)
        return ops.cast(tf.matmul(projected, matrix, transpose_b=True) + self.softmax_bias, "float32")

"""The translation model: shared subword embeddings, a bidirectional encoder, a decoder with attention."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from recur.layers import DropoutEmbedding, EncoderDecoder, ProjectedMemory, attention_decoder, recurrent_encoder
from recur.text.words import PADDING

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class TranslationModel(keras.Model):
    """An encoder–decoder with attention whose three matrices of words are one (Press & Wolf 2017).

    Source embedding, target embedding and softmax share their weights, as the two languages share their subwords. The
    output of the decoder is brought to the embedding's width before it is compared with every subword.

    Args:
        vocabulary_size: Subwords, special ids included.
        embedding_units: Width of the embedding.
        cell: `gru`, `lstm`, …
        units: Width of a recurrent layer, in each direction.
        encoder_layers: Bidirectional layers.
        decoder_layers: Layers, of which the lowest attends.
        decoder: `conditional`, `bahdanau` or `luong`.
        attention: `bahdanau`, `luong_general` or `multi_head`; "" for the decoder's own.
        input_feeding: Whether a `luong` decoder reads its last output too.
        word_dropout: Rate at which subwords are dropped.
        embedding_dropout: Rate of the embedding's features, dropped at all steps of a sentence alike.
        context_dropout: Rate on what the encoder has read, and between recurrent layers.
        output_dropout: Rate on what is compared with the subwords.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_units: int,
        cell: str,
        units: int,
        encoder_layers: int,
        decoder_layers: int,
        decoder: str,
        attention: str,
        input_feeding: bool,
        word_dropout: float,
        embedding_dropout: float,
        context_dropout: float,
        output_dropout: float,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.settings = {
            "vocabulary_size": vocabulary_size,
            "embedding_units": embedding_units,
            "cell": cell,
            "units": units,
            "encoder_layers": encoder_layers,
            "decoder_layers": decoder_layers,
            "decoder": decoder,
            "attention": attention,
            "input_feeding": input_feeding,
            "word_dropout": word_dropout,
            "embedding_dropout": embedding_dropout,
            "context_dropout": context_dropout,
            "output_dropout": output_dropout,
        }
        # As wide as is usual where a softmax shares the weights (Vaswani et al. 2017, section 3.4).
        initializer = keras.initializers.RandomNormal(stddev=embedding_units**-0.5)
        self.embedding = DropoutEmbedding(
            vocabulary_size, embedding_units, dropout=word_dropout, embeddings_initializer=initializer, name="embedding"
        )
        self.embedding_dropout = keras.layers.SpatialDropout1D(embedding_dropout)
        self.context_dropout = keras.layers.Dropout(context_dropout)
        self.network = EncoderDecoder(
            recurrent_encoder(cell, units, encoder_layers, dropout=context_dropout),
            attention_decoder(
                decoder,
                cell,
                units,
                decoder_layers,
                attention=attention or None,
                dropout=context_dropout,
                **({"input_feeding": True} if input_feeding else {}),
            ),
        )
        self.projection = keras.layers.Dense(embedding_units, use_bias=False, name="projection")
        self.output_dropout = keras.layers.Dropout(output_dropout)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers."""
        width = self.settings["embedding_units"]
        self.embedding.build((None, None))
        self.network.build((None, None, width), (None, None, width))
        self.projection.build((None, self.network.decoder.units))
        self.softmax_bias = self.add_weight(
            shape=(self.settings["vocabulary_size"],), initializer="zeros", name="softmax_bias"
        )
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

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | self.settings

    def _embed(self, ids: Tensor, training: bool = False) -> Tensor:
        return self.embedding_dropout(self.embedding(ids, training=training), training=training)

    def _logits(self, outputs: Tensor, training: bool = False) -> Tensor:
        """Compares outputs [rows, units] with all subwords."""
        projected = self.output_dropout(self.projection(outputs), training=training)
        matrix = ops.cast(self.embedding.embeddings, projected.dtype)
        return ops.cast(tf.matmul(projected, matrix, transpose_b=True) + self.softmax_bias, "float32")

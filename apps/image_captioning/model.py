"""The captioning model: an image encoder, and an LSTM that attends to its regions while it writes."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from apps.image_captioning.efficientnet_lite import train_last_blocks
from apps.image_captioning.encoders import encoder as find_encoder
from apps.image_captioning.regions import Regions
from recur.layers import Decoder, DropoutEmbedding, attention_decoder, recurrent_stack
from recur.text.words import PADDING

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class CaptioningModel(keras.Model):
    """Writes captions with soft attention over the regions of an image (Xu et al. 2015), or without.

    The initial states are made from the mean region (section 3.1.2). With attention, every step looks at the regions
    by the state before it, and a gate chooses how much they matter (section 4.2.1). Without, the mean region is all
    that the decoder is told, once, as in Show and Tell (Vinyals et al. 2015). Embedding and softmax share their weights
    (Press & Wolf 2017). The encoder is part of the model, so that what is saved needs nothing else. Where it is not
    trained, training reads the features that it gave.

    Args:
        vocabulary_size: Words, special ids included.
        encoder: A name that `encoders.encoder` knows.
        attention: Whether to attend.
        cell: `lstm`, `gru`, …
        embedding_units: Width of the embedding.
        units: Width of a region, of a recurrent layer and of the attention.
        layers: Recurrent layers, of which the lowest attends.
        attention_penalty: Weight of the doubly stochastic regularisation (section 4.2.1): the mean over regions of
            (1 - the attention it got over all steps)^2.
        scheduled_sampling: Share of the words read in training that are the model's own guesses (Bengio et al. 2015).
            They are those of a first pass over the right words, so that all steps are guessed at once (Mihaylova &
            Martins 2019, section 3).
        word_dropout: Rate at which words are dropped.
        embedding_dropout: Rate of the embedding's features, dropped at all steps of a caption alike.
        context_dropout: Rate on regions, and between recurrent layers.
        output_dropout: Rate on what is compared with the words.
        trained_blocks: Blocks at the encoder's end that are trained, of EfficientNet-Lite0 alone.
    """

    def __init__(
        self,
        vocabulary_size: int,
        encoder: str,
        attention: bool,
        cell: str,
        embedding_units: int,
        units: int,
        layers: int,
        attention_penalty: float,
        scheduled_sampling: float,
        word_dropout: float,
        embedding_dropout: float,
        context_dropout: float,
        output_dropout: float,
        trained_blocks: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.settings = {
            "vocabulary_size": vocabulary_size,
            "encoder": encoder,
            "attention": attention,
            "cell": cell,
            "embedding_units": embedding_units,
            "units": units,
            "layers": layers,
            "attention_penalty": attention_penalty,
            "scheduled_sampling": scheduled_sampling,
            "word_dropout": word_dropout,
            "embedding_dropout": embedding_dropout,
            "context_dropout": context_dropout,
            "output_dropout": output_dropout,
            "trained_blocks": trained_blocks,
        }
        self.attends, self.attention_penalty = attention, attention_penalty
        self.scheduled_sampling = scheduled_sampling
        self.seed_generator = keras.random.SeedGenerator() if scheduled_sampling else None
        self.encoder = find_encoder(encoder).build()
        if trained_blocks:
            train_last_blocks(self.encoder, trained_blocks)
        else:
            self.encoder.trainable = False
        self.regions = Regions(units, name="regions")
        # As wide as is usual where a softmax shares the weights (Vaswani et al. 2017, section 3.4).
        initializer = keras.initializers.RandomNormal(stddev=embedding_units**-0.5)
        self.embedding = DropoutEmbedding(
            vocabulary_size, embedding_units, dropout=word_dropout, embeddings_initializer=initializer, name="embedding"
        )
        self.embedding_dropout = keras.layers.SpatialDropout1D(embedding_dropout)
        self.context_dropout = keras.layers.Dropout(context_dropout)
        if attention:
            self.decoder = attention_decoder("bahdanau", cell, units, layers, dropout=context_dropout, gate=True)
        else:
            self.decoder = Decoder(recurrent_stack(cell, units, layers, dropout=context_dropout))
        self.projection = keras.layers.Dense(embedding_units, use_bias=False, name="projection")
        self.output_dropout = keras.layers.Dropout(output_dropout)

    @property
    def map_shape(self) -> tuple[int, int]:
        """Rows and columns of regions."""
        return self.encoder.output_shape[1:3]

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers."""
        width, units = self.settings["embedding_units"], self.settings["units"]
        rows, columns = self.map_shape
        self.regions.build(self.encoder.output_shape)
        self.embedding.build((None, None))
        memory = [(None, rows * columns, units)] if self.attends else []
        self.decoder.build((None, None, width), *memory, (None, units))
        self.projection.build((None, units))
        self.softmax_bias = self.add_weight(
            shape=(self.settings["vocabulary_size"],), initializer="zeros", name="softmax_bias"
        )
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Logits of every next word of the wanted captions.

        Args:
            inputs: `features` [batch, rows, columns, channels] from the encoder, or `pixels` uint8 [batch, height,
                width, 3] for it; `words` int32 [batch, steps], the begin and the words, padded on the right.
            training: Whether dropout and regularisation are active.

        Returns:
            float32 [tokens, vocabulary_size], of the steps that are not padding, one caption after the other.
        """
        words = inputs["words"]
        features = self.encoder(inputs["pixels"], training=False) if "pixels" in inputs else inputs["features"]
        written, regions = words != PADDING, self.regions(features)
        if training and self.scheduled_sampling:
            words = self._partly_guessed(words, regions)
        outputs, weights = self._read(words, regions, training)
        if training and self.attends and self.attention_penalty:
            self.add_loss(self.attention_penalty * unevenness(weights, written))
        return self._logits(tf.boolean_mask(outputs, written), training)

    def _read(self, words: Tensor, regions: Tensor, training: bool) -> tuple[Tensor, Tensor | None]:
        """Outputs [batch, steps, units] after each word, and the attention's weights [batch, steps, regions]."""
        embedded, summary = self._embed(words, training), ops.mean(regions, axis=1)
        if not self.attends:
            summary = self.context_dropout(summary, training=training)
            return self.decoder(embedded, summary, training=training)[0], None
        memory = self.context_dropout(regions, training=training)
        outputs, _, weights = self.decoder(embedded, memory, summary, training=training)
        return outputs, weights

    def _partly_guessed(self, words: Tensor, regions: Tensor) -> Tensor:
        """Words int32 [batch, steps], some of them replaced by what the model expects there; the first stays."""
        outputs, _ = self._read(words, regions, training=False)
        expected = ops.argmax(self._logits(ops.reshape(outputs, (-1, outputs.shape[-1]))), axis=-1)
        expected = ops.reshape(ops.cast(expected, words.dtype), ops.shape(words))
        guesses = ops.concatenate([words[:, :1], expected[:, :-1]], axis=1)
        drawn = keras.random.uniform(ops.shape(words), seed=self.seed_generator) < self.scheduled_sampling
        return tf.stop_gradient(ops.where(drawn, guesses, words))

    def begin(self, features: Tensor) -> tuple[list[Tensor], Any]:
        """The states [batch, size] to decode from and the memory, given features [batch, rows, columns, channels]."""
        regions = self.regions(features)
        summary = ops.mean(regions, axis=1)
        return self.decoder.begin(regions, summary) if self.attends else (self.decoder.initial_states(summary), ())

    def step(
        self, symbols: Tensor, states: Sequence[Tensor], memory: Any
    ) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """Advances by one word.

        Args:
            symbols: int32 [batch], the words before.
            states: From `begin` or the step before.
            memory: From `begin`.

        Returns:
            Logits [batch, vocabulary_size], the new states, and the attention's weights [batch, regions] or None.
        """
        embedded = self._embed(symbols[:, None])[:, 0]
        if self.attends:
            output, states, weights = self.decoder.step(embedded, states, memory)
        else:
            output, states = self.decoder.step(embedded, states)
            weights = None
        return self._logits(output), states, weights

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | self.settings

    def _embed(self, ids: Tensor, training: bool = False) -> Tensor:
        return self.embedding_dropout(self.embedding(ids, training=training), training=training)

    def _logits(self, outputs: Tensor, training: bool = False) -> Tensor:
        """Compares outputs [rows, units] with all words."""
        projected = self.output_dropout(self.projection(outputs), training=training)
        matrix = ops.cast(self.embedding.embeddings, projected.dtype)
        return ops.cast(tf.matmul(projected, matrix, transpose_b=True) + self.softmax_bias, "float32")


def unevenness(weights: Tensor, written: Tensor) -> Tensor:
    """How far the attention to each region, over all steps, is from 1 (Xu et al. 2015, equation 14).

    Args:
        weights: [batch, steps, regions].
        written: bool [batch, steps], False at padding.

    Returns:
        A scalar, the mean over regions and images of the squared distance.

    Example:
        >>> float(unevenness(keras.ops.array([[[0.5, 0.5], [0.5, 0.5]]]), keras.ops.array([[True, False]])))
        0.25
    """
    total = ops.sum(ops.where(written[:, :, None], weights, 0.0), axis=1)
    return ops.mean(ops.square(1.0 - ops.cast(total, "float32")))

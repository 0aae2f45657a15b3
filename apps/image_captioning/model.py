"""The captioning model: an image encoder, and an LSTM that attends to its regions while it writes."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from tensorflow import Tensor

from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.efficientnet_lite import train_last_blocks
from apps.image_captioning.encoders import encoder as find_encoder
from recur.layers.builders import attention_decoder, recurrent_stack
from recur.layers.decoders import AttentionDecoder, Decoder
from recur.layers.regularization import DropoutEmbedding
from recur.text.words import PADDING
from recur.training.model import ConfiguredModel


@keras.saving.register_keras_serializable("recur")
class CaptioningModel(ConfiguredModel[CaptioningConfig]):
    """Writes captions with soft attention over the regions of an image (Xu et al. 2015), or without.

    The initial states are made from the mean region (section 3.1.2). With attention, every step looks at the regions
    by the state before it, and a gate chooses how much they matter (section 4.2.1). Without, the mean region is all
    that the decoder is told, once, as in Show and Tell (Vinyals et al. 2015). Embedding and softmax share their weights
    (Press & Wolf 2017). The encoder is part of the model, so that what is saved needs nothing else. Where it is not
    trained, training reads the features that it gave.

    In training some of the words read may be the model's own guesses (scheduled sampling, Bengio et al. 2015): those
    of a first pass over the right words, so that all steps are guessed at once (Mihaylova & Martins 2019, section 3).
    `attention_penalty` weighs the doubly stochastic regularisation (section 4.2.1), `unevenness`.

    Args:
        config: Its hyperparameters.
        vocabulary_size: Words, special ids included.
    """

    config_type = CaptioningConfig

    def __init__(self, config: CaptioningConfig | None = None, *, vocabulary_size: int, **settings: Any):
        super().__init__(config, {"vocabulary_size": vocabulary_size}, **settings)
        config = self.config
        embedding_units, units, dropout = config.embedding_units, config.units, config.context_dropout
        self.seed_generator = keras.random.SeedGenerator() if config.scheduled_sampling else None
        self.encoder = find_encoder(config.encoder).build()
        if config.trained_blocks:
            train_last_blocks(self.encoder, config.trained_blocks)
        else:
            self.encoder.trainable = False
        self.regions = Regions(units, name="regions")
        self.embedding = DropoutEmbedding(
            vocabulary_size,
            embedding_units,
            dropout=config.word_dropout,
            # As wide as is usual where a softmax shares the weights (Vaswani et al. 2017, section 3.4).
            embeddings_initializer=keras.initializers.RandomNormal(stddev=embedding_units**-0.5),
            name="embedding",
        )
        self.embedding_dropout = keras.layers.SpatialDropout1D(config.embedding_dropout)
        self.context_dropout = keras.layers.Dropout(dropout)
        if config.attention:
            self.decoder: AttentionDecoder | Decoder = attention_decoder(
                "bahdanau", config.cell, units, config.layers, dropout=dropout, gate=True
            )
        else:
            self.decoder = Decoder(recurrent_stack(config.cell, units, config.layers, dropout=dropout))
        self.projection = keras.layers.Dense(embedding_units, use_bias=False, name="projection")
        self.output_dropout = keras.layers.Dropout(config.output_dropout)

    @property
    def map_shape(self) -> tuple[int, int]:
        """Rows and columns of regions."""
        return self.encoder.output_shape[1:3]

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers."""
        width, units = self.config.embedding_units, self.config.units
        rows, columns = self.map_shape
        self.regions.build(self.encoder.output_shape)
        self.embedding.build((None, None))
        if isinstance(self.decoder, Decoder):
            self.decoder.build((None, None, width), (None, units))
        else:
            self.decoder.build((None, None, width), (None, rows * columns, units), (None, units))
        self.projection.build((None, units))
        self.softmax_bias = self.add_weight(
            shape=(self.sizes["vocabulary_size"],), initializer="zeros", name="softmax_bias"
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
        if training and self.config.scheduled_sampling:
            words = self._partly_guessed(words, regions)
        outputs, weights = self._read(words, regions, training)
        if training and self.config.attention and self.config.attention_penalty:
            self.add_loss(self.config.attention_penalty * unevenness(weights, written))
        return self._logits(tf.boolean_mask(outputs, written), training)

    def _read(self, words: Tensor, regions: Tensor, training: bool) -> tuple[Tensor, Tensor | None]:
        """Outputs [batch, steps, units] after each word, and the attention's weights [batch, steps, regions]."""
        embedded, summary = self._embed(words, training), ops.mean(regions, axis=1)
        if not self.config.attention:
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
        drawn = keras.random.uniform(ops.shape(words), seed=self.seed_generator) < self.config.scheduled_sampling
        return tf.stop_gradient(ops.where(drawn, guesses, words))

    def begin(self, features: Tensor) -> tuple[list[Tensor], Any]:
        """The states [batch, size] to decode from and the memory, given features [batch, rows, columns, channels]."""
        regions = self.regions(features)
        summary = ops.mean(regions, axis=1)
        if self.config.attention:
            return self.decoder.begin(regions, summary)
        return self.decoder.initial_states(summary), ()

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
        if isinstance(self.decoder, Decoder):
            output, after = self.decoder.step(embedded, states)
            return self._logits(output), after, None
        output, after, weights = self.decoder.step(embedded, states, memory)
        return self._logits(output), after, weights

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


@keras.saving.register_keras_serializable("recur")
class Regions(keras.layers.Layer):
    """Brings features of regions to another width, and adds what stands for their row and their column.

    A region is W f + b + r_row + c_column. Features of a convolutional network say little of where they are, and what
    an attention has averaged says nothing, and "to the left of" needs it. The vectors r and c are learned, as the
    positions of words are in Gehring et al. 2017, section 3.1. Nothing follows the sum, so that the mean of all regions
    tells what there is, and where it is only as far as the features do.

    Args:
        units: Width of a region.

    Example:
        >>> Regions(4)(keras.ops.ones((2, 7, 7, 8))).shape
        TensorShape([2, 49, 4])
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.projection = keras.layers.Dense(units, name="projection", dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Builds the projection and the places, given [N, rows, columns, channels]."""
        _, rows, columns, _ = input_shape
        self.projection.build(tuple(input_shape))
        options = {"initializer": keras.initializers.RandomNormal(stddev=0.1)}
        self.rows = self.add_weight(shape=(rows, 1, self.units), name="rows", **options)
        self.columns = self.add_weight(shape=(1, columns, self.units), name="columns", **options)

    def call(self, features: Tensor) -> Tensor:
        """Returns the regions [N, rows * columns, units] of features [N, rows, columns, channels]."""
        _, rows, columns, _ = features.shape
        projected = self.projection(ops.cast(features, self.compute_dtype)) + self.rows + self.columns
        return ops.reshape(projected, (-1, rows * columns, self.units))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"units": self.units}

"""The classifier of reviews: embedding, recurrent layers in both directions, pooling, softmax."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import tensorflow as tf
from keras import ops

from apps.sentiment_analysis.config import SentimentConfig
from recur.layers.dropout_embedding import DropoutEmbedding
from recur.layers.many_to_one import ManyToOne
from recur.layers.networks import many_to_one
from recur.layers.pooling import SequencePooling, pooling
from recur.text.words import PADDING
from recur.training.model import ConfiguredModel

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class SentimentClassifier(ConfiguredModel[SentimentConfig]):
    """Predicts the class of a review.

    Whole words are dropped in training (Gal & Ghahramani 2016), and features of the embedding at all steps of a review
    alike (variational). Adversarial training perturbs by a share of the norm of the embedded review (Miyato et al.
    2017, who fix the norm and normalise the embedding instead).

    Args:
        config: Its hyperparameters.
        vocabulary_size: Ids, padding and unknown included.
        classes: How many.
    """

    config_type = SentimentConfig
    renamed: ClassVar[Mapping[str, str]] = {"pooling_kind": "pooling"}

    def __init__(self, config: SentimentConfig | None = None, *, vocabulary_size: int, classes: int, **settings: Any):
        # Not the size that is asked for, but that which the vocabulary has.
        super().__init__(config, {"classes": classes}, vocabulary_size=vocabulary_size, **settings)
        config = self.config
        self.embedding = DropoutEmbedding(
            vocabulary_size, config.embedding_units, dropout=config.word_dropout, name="embedding"
        )
        self.embedding_dropout = keras.layers.SpatialDropout1D(config.embedding_dropout)
        self.reader = _reader(config)
        self.dropout = keras.layers.Dropout(config.dropout)
        self.head = keras.layers.Dense(classes, name="head")

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers."""
        width = self.config.embedding_units
        self.embedding.build((None, None))
        self.reader.build((None, None, width))
        if isinstance(self.reader, ManyToOne):
            width = self.reader.encoder.units
        self.head.build((None, 3 * width if self.config.pooling == "concat" else width))
        self.built = True

    def call(self, ids: Tensor, training: bool = False) -> Tensor:
        """Logits of reviews.

        Args:
            ids: int32 [batch, time], padded on the right; a row has one word at least.
            training: Whether dropout is active.

        Returns:
            float32 [batch, classes].
        """
        return self.classify(self.embed(ids, training), ids != PADDING, training)

    def embed(self, ids: Tensor, training: bool = False) -> Tensor:
        """Vectors of words: [batch, time] to [batch, time, embedding_units]."""
        return self.embedding_dropout(self.embedding(ids, training=training), training=training)

    def classify(self, embedded: Tensor, mask: Tensor, training: bool = False) -> Tensor:
        """Logits [batch, classes] of embedded reviews [batch, time, embedding_units], of which mask [batch, time]."""
        pooled = self.reader(embedded, mask=mask, training=training)
        return ops.cast(self.head(self.dropout(pooled, training=training)), "float32")

    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """A step of Keras's; with adversarial training on the mean of the plain and the adversarial loss."""
        if not self.config.adversarial:
            return super().train_step(data)
        ids, labels = data
        variables, mask = self.trainable_variables, ids != PADDING
        with tf.GradientTape() as tape:
            embedded = self.embed(ids, training=True)
            logits = self.classify(embedded, mask, training=True)
            loss = self.compute_loss(ids, labels, logits, training=True)
        *gradients, direction = tape.gradient(loss, [*(v.value for v in variables), embedded])
        perturbation = perturb(embedded, direction, self.config.adversarial)
        with tf.GradientTape() as tape:
            logits_after = self.classify(self.embed(ids, training=True) + perturbation, mask, training=True)
            adversarial_loss = self.compute_loss(ids, labels, logits_after, training=True)
        others = tape.gradient(adversarial_loss, [variable.value for variable in variables])
        mean = [(tf.convert_to_tensor(a) + tf.convert_to_tensor(b)) / 2 for a, b in zip(gradients, others, strict=True)]
        self.optimizer.apply_gradients(zip(mean, variables, strict=True))
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(ids)[0])
        return self.compute_metrics(ids, labels, logits)


def error(probabilities: Tensor, logits: Tensor) -> Tensor:
    """Where the likeliest class is not the one wanted: two tensors [batch, classes] to 0 or 1."""
    return ops.cast(ops.argmax(logits, axis=-1) != ops.argmax(probabilities, axis=-1), "float32")


def perturb(embedded: tf.Tensor, direction: tf.Tensor, share: float) -> tf.Tensor:
    """The step of a given size along which the loss rises fastest (Miyato et al. 2017, eq. 4).

    Args:
        embedded: [batch, time, units].
        direction: The gradient of the loss by it.
        share: The norm of a row's step over the norm of the row.

    Returns:
        [batch, time, units], without gradient.
    """
    size = tf.norm(embedded, axis=[1, 2], keepdims=True)
    length = tf.norm(direction, axis=[1, 2], keepdims=True)
    return tf.stop_gradient(share * size * tf.math.divide_no_nan(direction, length))


def _reader(config: SentimentConfig) -> ManyToOne | SequencePooling:
    """From the words of a review to one vector; without recurrence by pooling alone."""
    if config.cell == "none":
        return pooling(config.pooling, **({"units": config.embedding_units} if config.pooling == "attention" else {}))
    settings = {"pooling": config.pooling, "bidirectional": config.bidirectional, "dropout": config.dropout}
    return many_to_one(config.cell, config.units, config.layers, **settings)

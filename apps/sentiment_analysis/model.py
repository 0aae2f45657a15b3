"""The classifier of reviews, and the language models that its layers can learn from first."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from recur.layers import DropoutEmbedding, ManyToOne, SequencePooling, many_to_one
from recur.layers.pooling import pooling
from recur.text.words import PADDING

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class SentimentClassifier(keras.Model):
    """Embedding, recurrent layers in both directions, pooling, softmax.

    Args:
        vocabulary_size: Ids, padding and unknown included.
        classes: How many.
        embedding_units: Width of the embedding.
        cell: `lstm`, `gru`, … or `none`: the same network without recurrence.
        units: Width of the recurrent layer, in each direction.
        layers: Recurrent layers.
        bidirectional: Whether they read backwards too.
        pooling_kind: `last`, `max`, `mean`, `attention` or `concat`.
        word_dropout: Rate at which whole words are dropped in training (Gal & Ghahramani 2016).
        embedding_dropout: Rate of features of the embedding, dropped at all steps of a review alike (variational).
        dropout: Rate on the pooled vector.
        adversarial: Norm of the perturbation of adversarial training, as a share of that of the embedded review
            (Miyato et al. 2017, who fix the norm and normalise the embedding instead); 0 for none.
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int,
        embedding_units: int,
        cell: str,
        units: int,
        layers: int,
        bidirectional: bool,
        pooling_kind: str,
        word_dropout: float,
        embedding_dropout: float,
        dropout: float,
        adversarial: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.settings = {
            "vocabulary_size": vocabulary_size,
            "classes": classes,
            "embedding_units": embedding_units,
            "cell": cell,
            "units": units,
            "layers": layers,
            "bidirectional": bidirectional,
            "pooling_kind": pooling_kind,
            "word_dropout": word_dropout,
            "embedding_dropout": embedding_dropout,
            "dropout": dropout,
            "adversarial": adversarial,
        }
        self.embedding = DropoutEmbedding(vocabulary_size, embedding_units, dropout=word_dropout, name="embedding")
        self.embedding_dropout = keras.layers.SpatialDropout1D(embedding_dropout)
        self.reader: ManyToOne | SequencePooling = (
            _plain_pooling(pooling_kind, embedding_units)
            if cell == "none"
            else many_to_one(cell, units, layers, pooling=pooling_kind, bidirectional=bidirectional, dropout=dropout)
        )
        self.dropout = keras.layers.Dropout(dropout)
        self.head = keras.layers.Dense(classes, name="head")
        self.adversarial = adversarial

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers."""
        recurrent = isinstance(self.reader, ManyToOne)
        embedding_units = self.settings["embedding_units"]
        self.embedding.build((None, None))
        self.reader.build((None, None, embedding_units))
        width = self.reader.encoder.units if recurrent else embedding_units
        self.head.build((None, 3 * width if self.settings["pooling_kind"] == "concat" else width))
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
        if not self.adversarial:
            return super().train_step(data)
        ids, labels = data
        variables, mask = self.trainable_variables, ids != PADDING
        with tf.GradientTape() as tape:
            embedded = self.embed(ids, training=True)
            logits = self.classify(embedded, mask, training=True)
            loss = self.compute_loss(ids, labels, logits, training=True)
        *gradients, direction = tape.gradient(loss, [*(v.value for v in variables), embedded])
        perturbation = perturb(embedded, direction, self.adversarial)
        with tf.GradientTape() as tape:
            logits_after = self.classify(self.embed(ids, training=True) + perturbation, mask, training=True)
            adversarial_loss = self.compute_loss(ids, labels, logits_after, training=True)
        others = tape.gradient(adversarial_loss, [variable.value for variable in variables])
        mean = [(tf.convert_to_tensor(a) + tf.convert_to_tensor(b)) / 2 for a, b in zip(gradients, others, strict=True)]
        self.optimizer.apply_gradients(zip(mean, variables, strict=True))
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(ids)[0])
        return self.compute_metrics(ids, labels, logits)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | self.settings


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


def _plain_pooling(kind: str, units: int) -> SequencePooling:
    return pooling(kind, **({"units": units} if kind == "attention" else {}))

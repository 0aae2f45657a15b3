"""The classifier of reviews, and the language models with whose embedding and recurrent layers it may begin."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import tensorflow as tf
from keras import ops
from tensorflow import Tensor

from apps.sentiment_analysis.config import SentimentConfig
from recur.layers.builders import many_to_one, recurrent_stack
from recur.layers.networks import ManyToOne
from recur.layers.pooling import SequencePooling, pooling
from recur.layers.regularization import DropoutEmbedding
from recur.text.words import PADDING
from recur.training.model import ConfiguredModel

ROWS = 1024  # of logits of the whole vocabulary, that are computed together


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
    settings = {"bidirectional": config.bidirectional, "dropout": config.dropout}
    return many_to_one(config.cell, config.units, config.layers, pooling=config.pooling, **settings)


@keras.saving.register_keras_serializable("recur")
class ReviewLanguageModel(ConfiguredModel[SentimentConfig]):
    """Predicts each word from those before it, and, by another recurrent layer, each from those after it.

    Pre-training as Dai & Le (2015, section 2) do it, in the two directions of Peters et al. (2018). Both directions
    share embedding and softmax. The state is carried from window to window, and the text of the second direction is
    read from its end. In training the softmax is sampled, in validation it is whole.

    Args:
        config: Its hyperparameters; `batch_size` streams are read side by side, `dropout` is the rate on the embedding
            and on what the recurrent layers give.
        vocabulary_size: Ids, by falling frequency.
    """

    config_type = SentimentConfig
    renamed: ClassVar[Mapping[str, str]] = {"streams": "batch_size"}

    def __init__(self, config: SentimentConfig | None = None, *, vocabulary_size: int, **settings: Any):
        super().__init__(config, vocabulary_size=vocabulary_size, **settings)  # not what is asked for, but what is
        config = self.config
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            config.embedding_units,
            embeddings_initializer=keras.initializers.RandomUniform(-0.1, 0.1),
            name="embedding",
        )
        self.input_dropout = keras.layers.SpatialDropout1D(config.dropout)
        self.directions = [recurrent_stack(config.cell, config.units) for _ in range(1 + config.bidirectional)]
        self.output_dropout = keras.layers.Dropout(config.dropout)
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers, and the carried states: one set for training, one for validation."""
        config, size, width = self.config, self.config.vocabulary_size, self.config.units
        self.embedding.build((None, None))
        for stack in self.directions:
            stack.build((None, None, config.embedding_units))
        self.softmax_kernel = self.add_weight(shape=(size, width), initializer="glorot_uniform", name="softmax_kernel")
        # Learnt from zero, how frequent words are would be told by hidden units at their bounds, which learn nothing.
        self.softmax_bias = self.add_weight(
            shape=(size,), initializer=lambda shape, dtype: tf.cast(log_zipf(size), dtype), name="softmax_bias"
        )
        self.carried = {
            phase: [
                self.add_weight(
                    shape=(config.batch_size, n), initializer="zeros", trainable=False, name=f"{phase}_{d}_{i}"
                )
                for d, stack in enumerate(self.directions)
                for i, n in enumerate(stack.state_sizes)
            ]
            for phase in ("training", "validation")
        }
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """What each direction knows of the next word, with the state carried from the batch before.

        Args:
            inputs: `forward` and, with two directions, `backward`, int32 [streams, window]; `carry` float32 [streams],
                0 for a stream that begins.
            training: Whether dropout is active.

        Returns:
            [directions, streams, window, units].
        """
        carried = self.carried["training" if training else "validation"]
        keep = ops.expand_dims(inputs["carry"], -1)
        known: list[Tensor] = []
        after: list[Tensor] = []
        for name, stack in zip(("forward", "backward"), self.directions, strict=False):
            embedded = self.input_dropout(self.embedding(inputs[name]), training=training)
            begin = len(after)
            states = [
                ops.cast(state * keep, self.compute_dtype) for state in carried[begin : begin + len(stack.state_sizes)]
            ]
            outputs, own = stack(embedded, initial_state=states, training=training)
            known.append(self.output_dropout(outputs, training=training))
            after += own
        for variable, state in zip(carried, after, strict=True):
            variable.assign(ops.cast(ops.stop_gradient(state), variable.dtype))
        return ops.stack(known)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """The mean cross-entropy of the next words, in nats: y int32 [directions, streams, window]."""
        known = tf.reshape(tf.cast(y_pred, tf.float32), [-1, self.config.units])
        words = tf.reshape(y, [-1])
        kernel, bias = tf.convert_to_tensor(self.softmax_kernel), tf.convert_to_tensor(self.softmax_bias)
        if not training:
            return tf.reduce_mean(_whole_losses(kernel, bias, words, known))
        size, sampled = self.config.vocabulary_size, self.config.sampled
        words = tf.cast(words, tf.int64)[:, None]
        return tf.reduce_mean(
            tf.nn.sampled_softmax_loss(
                kernel,
                bias,
                words,
                known,
                num_sampled=sampled,
                num_classes=size,
                sampled_values=log_uniform_sample(words, sampled, size, self.seed_generator.next()),
            )
        )


def log_uniform_sample(
    words: tf.Tensor, count: int, size: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws ids as Zipf's law has them: P(id) = log((id + 2) / (id + 1)) / log(size + 1).

    The loss with it is an importance-sampled estimate of the whole softmax (Bengio & Senécal 2008, section III): each
    drawn word stands for as many as it was not likely to be drawn, the right one for itself. TensorFlow's own sampler
    keeps a state that no checkpoint holds, so that a resumed training would draw others.

    Args:
        words: The right ids, int64 [n, 1].
        count: How many to draw, with replacement.
        size: Ids there are, by falling frequency.
        seed: int [2].

    Returns:
        Ids int64 [count]; ones [n, 1], the weights of the right words; how often each id drawn is expected, [count].
    """
    uniform = tf.random.stateless_uniform([count], seed)
    drawn = tf.cast(tf.exp(uniform * math.log(size + 1)), tf.int64) - 1
    drawn = tf.clip_by_value(drawn, 0, size - 1)
    return drawn, tf.ones(tf.shape(words)), count * tf.exp(tf.gather(log_zipf(size), drawn))


def log_zipf(size: int) -> tf.Tensor:
    """Logarithms of the probabilities that Zipf's law gives to ids by falling frequency: float32 [size]."""
    ids = tf.range(size, dtype=tf.float32)
    return tf.math.log(tf.math.log1p(1 / (ids + 1)) / math.log(size + 1))


def _whole_losses(kernel: tf.Tensor, bias: tf.Tensor, words: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Cross-entropies of the whole softmax, a part of the rows at a time: all logits would fill the memory."""

    def part(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        logits = tf.matmul(pair[1], kernel, transpose_b=True) + bias
        return tf.nn.sparse_softmax_cross_entropy_with_logits(pair[0], logits)

    rows = tf.shape(words)[0]
    parts = tf.maximum(rows // ROWS, 1)
    whole = rows // parts * parts
    shape = tf.stack([parts, rows // parts])
    words, known = words[:whole], known[:whole]
    pairs = tf.reshape(words, shape), tf.reshape(known, tf.concat([shape, [known.shape[1]]], 0))
    return tf.map_fn(part, pairs, fn_output_signature=tf.float32)

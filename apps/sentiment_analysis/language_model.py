"""Language models of reviews in both directions, whose embedding and recurrent layers a classifier goes on with."""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from apps.sentiment_analysis.model import SentimentClassifier
from recur.layers import recurrent_stack

Tensor = Any

ROWS = 1024  # of logits of the whole vocabulary, that are computed together


@keras.saving.register_keras_serializable("recur")
class ReviewLanguageModel(keras.Model):
    """Predicts each word from those before it, and, by another recurrent layer, each from those after it.

    Pre-training as Dai & Le (2015, section 2) do it, in the two directions of Peters et al. (2018). Both directions
    share embedding and softmax. The state is carried from window to window, and the text of the second direction is
    read from its end. In training the softmax is sampled, in validation it is whole.

    Args:
        vocabulary_size: Ids, by falling frequency.
        embedding_units: Width of the embedding.
        cell: `lstm` or `gru`, …
        units: Width of a recurrent layer.
        bidirectional: Whether there is a second direction.
        dropout: Rate on the embedding and on what the recurrent layers give.
        sampled: Words that each step tells the right one from.
        streams: Rows of a batch, whose states are carried.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_units: int,
        cell: str,
        units: int,
        bidirectional: bool,
        dropout: float,
        sampled: int,
        streams: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.settings = {
            "vocabulary_size": vocabulary_size,
            "embedding_units": embedding_units,
            "cell": cell,
            "units": units,
            "bidirectional": bidirectional,
            "dropout": dropout,
            "sampled": sampled,
            "streams": streams,
        }
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            embedding_units,
            embeddings_initializer=keras.initializers.RandomUniform(-0.1, 0.1),
            name="embedding",
        )
        self.input_dropout = keras.layers.SpatialDropout1D(dropout)
        self.directions = [recurrent_stack(cell, units) for _ in range(1 + bidirectional)]
        self.output_dropout = keras.layers.Dropout(dropout)
        self.seed_generator = keras.random.SeedGenerator()
        self.streams, self.sampled = streams, sampled

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers, and the carried states: one set for training, one for validation."""
        size, width = self.settings["vocabulary_size"], self.settings["units"]
        self.embedding.build((None, None))
        for stack in self.directions:
            stack.build((None, None, self.settings["embedding_units"]))
        self.softmax_kernel = self.add_weight(shape=(size, width), initializer="glorot_uniform", name="softmax_kernel")
        # Learnt from zero, how frequent words are would be told by hidden units at their bounds, which learn nothing.
        self.softmax_bias = self.add_weight(
            shape=(size,), initializer=lambda shape, dtype: tf.cast(log_zipf(size), dtype), name="softmax_bias"
        )
        self.carried = {
            phase: [
                self.add_weight(shape=(self.streams, n), initializer="zeros", trainable=False, name=f"{phase}_{d}_{i}")
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
        known, after = [], []
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
        known = tf.reshape(tf.cast(y_pred, tf.float32), [-1, self.settings["units"]])
        words = tf.reshape(y, [-1])
        kernel, bias = tf.convert_to_tensor(self.softmax_kernel), tf.convert_to_tensor(self.softmax_bias)
        if not training:
            return tf.reduce_mean(_whole_losses(kernel, bias, words, known))
        size = self.settings["vocabulary_size"]
        words = tf.cast(words, tf.int64)[:, None]
        return tf.reduce_mean(
            tf.nn.sampled_softmax_loss(
                kernel,
                bias,
                words,
                known,
                num_sampled=self.sampled,
                num_classes=size,
                sampled_values=log_uniform_sample(words, self.sampled, size, self.seed_generator.next()),
            )
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | self.settings


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


def give(language_model: ReviewLanguageModel, classifier: SentimentClassifier) -> None:
    """Sets a classifier's embedding and recurrent layer to those of language models.

    Args:
        language_model: Trained.
        classifier: Of the same vocabulary, cell and units, with one recurrent layer.
    """
    classifier.embedding.set_weights(language_model.embedding.get_weights())
    layer = classifier.reader.encoder.layers[0]
    directions = [getattr(layer, "forward_layer", layer), *filter(None, [getattr(layer, "backward_layer", None)])]
    for target, stack in zip(directions, language_model.directions, strict=True):
        target.set_weights(stack.layers[0].get_weights())

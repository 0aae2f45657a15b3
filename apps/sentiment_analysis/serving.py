"""Raw reviews in, answers out, in one graph."""

from collections.abc import Callable

import tensorflow as tf

from apps.sentiment_analysis.assets import SentimentAssets
from apps.sentiment_analysis.config import SentimentConfig
from apps.sentiment_analysis.model import SentimentClassifier
from recur.gradients.attribution import integrated_gradients
from recur.serving.module import ServingModule
from recur.serving.signatures import padded_to
from recur.text.words import PADDING, UNKNOWN, clip_length
from recur.training.task import Trained

_TEXT = tf.TensorSpec([None], tf.string)


class SentimentAnalyser(ServingModule[SentimentClassifier]):
    """Classifies reviews, each by itself: an answer does not depend on what is beside it.

    Text is read as in training. Of a longer review only some words are read (see `longest` and `keep`); a review
    without words counts as one unknown word.

    Args:
        trained: The classifier, its vocabulary, classes and temperature, and how much of a review is read.
    """

    def __init__(self, trained: Trained[SentimentConfig, SentimentAssets]):
        super().__init__(trained.models)
        self._vocabulary = trained.assets.vocabulary
        self._labels, self._temperature = list(trained.assets.labels), trained.assets.temperature
        self._longest, self._keep = trained.config.longest, trained.config.keep

    @property
    def signatures(self) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
        """What an export answers."""
        return {"serving_default": self.classify, "explain": self.explain}

    @tf.function(input_signature=[_TEXT], autograph=False)
    def classify(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers reviews string [N].

        Returns:
            `label` string [N], the likeliest class; `probability` float32 [N], of the positive class where there are
            two, of `label` where there are more.
        """
        ids, _ = self._read(text)
        return self._answer(self.model(ids, training=False))

    @tf.function(input_signature=[_TEXT], autograph=False)
    def explain(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers reviews string [N], and says what each word contributed (Sundararajan et al. 2017).

        Returns:
            `label` and `probability` as `classify` does; `tokens` string [N, T], the words that were read, "" after the
            last of at most `longest`; `weights` float32 [N, T], what each adds to the logit of the positive class over
            the other (with more than two classes, of `label` over the mean), from a review of as many words that say
            nothing (zeros for vectors); they add up to `margin` - `margin_of_nothing`, float32 [N].
        """
        model = self.model
        ids, tokens = self._read(text)
        mask = ids != PADDING
        embedded = model.embed(ids, training=False)
        logits = model.classify(embedded, mask)
        answer = self._answer(logits)
        two = len(self._labels) == 2
        target = tf.ones_like(tf.argmax(logits, axis=1)) if two else tf.argmax(logits, axis=1)

        def margin(embedded: tf.Tensor, mask: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
            logits = model.classify(embedded, mask) / self._temperature
            chosen = tf.gather(logits, target, batch_dims=1)
            return 2 * chosen - tf.reduce_sum(logits, 1) if two else chosen - tf.reduce_mean(logits, 1)

        attribution = integrated_gradients(margin, embedded, tf.zeros([]), mask, context=(mask, target))
        return answer | {
            "tokens": padded_to(tokens, [self._longest]),
            "weights": padded_to(attribution.weights, [self._longest]),
            "margin": attribution.at_inputs,
            "margin_of_nothing": attribution.at_baseline,
        }

    def _read(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids int32 [N, T] and words string [N, T] of raw reviews."""
        encoded = self._vocabulary.encode_with_surfaces(text)
        ids, words = (clip_length(rows, self._longest, self._keep) for rows in encoded)
        ids, tokens = ids.to_tensor(PADDING), words.to_tensor("")
        missing = tf.maximum(1 - tf.shape(ids)[1], 0)
        ids = tf.pad(ids, [[0, 0], [0, missing]])
        tokens = tf.pad(tokens, [[0, 0], [0, missing]], constant_values="")
        nothing = (words.row_lengths() == 0)[:, None] & (tf.range(tf.shape(ids)[1]) == 0)[None]
        return tf.where(nothing, UNKNOWN, ids), tokens

    def _answer(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.nn.softmax(logits / self._temperature)
        chosen = tf.argmax(probabilities, axis=1)
        of_positive = probabilities[:, 1] if len(self._labels) == 2 else tf.reduce_max(probabilities, axis=1)
        return {"label": tf.gather(tf.constant(self._labels), chosen), "probability": of_positive}

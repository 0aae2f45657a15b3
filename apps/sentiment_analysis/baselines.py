"""What a user would try before a recurrent network: the most frequent class, linear models of words and word pairs.

Each function fits on the raw bytes of the reviews and returns a predictor of class probabilities. Where there is
nothing to fit, a single class or no word that occurs twice, the linear models give the class frequencies.

Sources:
    Wang, S. and Manning, C. D. (2012), "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", ACL:
    log-count ratios in equation 2, interpolation in equation 4.
    Mesnil, G. et al. (2014), "Ensemble of Generative and Discriminative Techniques for Sentiment Analysis of Movie
    Reviews", arXiv:1412.5335: logistic regression in place of the support vector machine.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import scipy.sparse
import scipy.special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from recur.metrics.calibration import fit_temperature, with_temperature

BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
# Single letters are words too ("I", the t of "don't"), and so are marks: "!" and "?" tell much in a review.
TOKEN = r"\w+|[^\w\s]"


class Predictor(Protocol):
    """A fitted baseline."""

    def probabilities(self, texts: Sequence[bytes]) -> np.ndarray:
        """Returns float64 [n, classes], whose rows add up to one."""
        ...


def readable(text: bytes) -> str:
    r"""Decodes a review: bytes that are not UTF-8 become U+FFFD, HTML breaks become spaces.

    Example:
        >>> readable(b"caf\xc3\xa9<br /><br />closed \xff")
        'café  closed �'
    """
    return BREAK.sub(" ", text.decode("utf-8", errors="replace"))


class Fitted(NamedTuple):
    """Features and a scikit-learn classifier on them.

    Attributes:
        vectorizer: Anything with `transform`, from strings to a matrix.
        classifier: Anything with `classes_` and `predict_proba`.
        classes: How many columns the probabilities have. A class that train lacks gets 0.
    """

    vectorizer: Any
    classifier: Any
    classes: int

    def probabilities(self, texts: Sequence[bytes]) -> np.ndarray:
        """Returns float64 [n, classes], whose rows add up to one."""
        result = np.zeros((len(texts), self.classes))
        if len(texts):
            features = self.vectorizer.transform([readable(text) for text in texts])
            result[:, self.classifier.classes_] = self.classifier.predict_proba(features)
        return result


class Calibrated(NamedTuple):
    """A predictor at another temperature.

    Attributes:
        predictor: What it asks.
        temperature: By which the logarithms of the probabilities are divided.
    """

    predictor: Predictor
    temperature: float

    def probabilities(self, texts: Sequence[bytes]) -> np.ndarray:
        """Returns float64 [n, classes], whose rows add up to one."""
        return with_temperature(_logits(self.predictor, texts), self.temperature)


def calibrated(predictor: Predictor, texts: Sequence[bytes], labels: np.ndarray) -> Calibrated:
    """Gives a baseline what the network gets: a temperature fitted on validation. No answer changes.

    Args:
        predictor: The baseline, fitted on other reviews.
        texts: Raw reviews of validation.
        labels: int [n].

    Raises:
        ValueError: As `recur.metrics.calibration.fit_temperature`.
    """
    return Calibrated(predictor, fit_temperature(_logits(predictor, texts), labels))


def _logits(predictor: Predictor, texts: Sequence[bytes]) -> np.ndarray:
    return np.log(np.maximum(predictor.probabilities(texts), np.finfo(float).tiny))


class _NoWords:
    """The features of a model that looks at none."""

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        return np.zeros((len(texts), 1))


def fit_majority(texts: Sequence[bytes], labels: np.ndarray, classes: int | None = None) -> Fitted:
    """Fits the class frequencies: the most frequent class is the answer, its frequency the probability.

    Args:
        texts: Raw reviews.
        labels: int [n], from 0.
        classes: How many there are; by default as many as the labels show, at least two.

    Raises:
        ValueError: There is no text, there is not one label a text, or a label is not a class.
    """
    labels, classes = _checked(texts, labels, classes)
    return Fitted(_NoWords(), DummyClassifier(strategy="prior").fit(np.zeros((len(labels), 1)), labels), classes)


def fit_tfidf(texts: Sequence[bytes], labels: np.ndarray, classes: int | None = None) -> Fitted:
    """Fits logistic regression on TF-IDF of the words and word pairs that occur in two reviews or more.

    Args and errors are those of `fit_majority`.
    """
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=TOKEN, dtype=np.float32)
    return _fit_linear(vectorizer, LogisticRegression(C=30.0, max_iter=1000), texts, labels, classes)


def fit_nbsvm(texts: Sequence[bytes], labels: np.ndarray, classes: int | None = None) -> Fitted:
    """Fits NBSVM on which words and word pairs a review holds; of more than two classes, each against the rest.

    Interpolation makes its weights smaller and its probabilities too even: pass it through `calibrated`.

    Args and errors are those of `fit_majority`.
    """
    vectorizer = CountVectorizer(ngram_range=(1, 2), min_df=2, binary=True, token_pattern=TOKEN, dtype=np.float32)
    return _fit_linear(vectorizer, OneVsRestClassifier(NaiveBayesWeighted()), texts, labels, classes)


BASELINES: Mapping[str, Callable[..., Predictor]] = {
    "majority": fit_majority,
    "tfidf + logistic regression": fit_tfidf,
    "nbsvm": fit_nbsvm,
}


class NaiveBayesWeighted(ClassifierMixin, BaseEstimator):
    """NBSVM for two classes: a linear model on features weighted by their naive Bayes log-count ratio.

    The linear model is logistic regression: as accurate as the support vector machine, and it gives probabilities.

    Args:
        smoothing: α, added to every count.
        interpolation: β. The weights are (1 − β) times their mean magnitude plus β times themselves; less trusts naive
            Bayes more.
        C: Inverse strength of the L2 penalty.
    """

    def __init__(self, smoothing: float = 1.0, interpolation: float = 0.25, C: float = 1.0):
        self.smoothing, self.interpolation, self.C = smoothing, interpolation, C

    def fit(self, features: scipy.sparse.csr_array, labels: np.ndarray) -> Self:
        """Fits on features [n, words], 0 or 1, and labels [n] of two values; the higher is the positive class."""
        self.classes_ = np.unique(labels)
        positive = labels == self.classes_[-1]
        p, q = (self.smoothing + np.asarray(features[rows].sum(axis=0)).ravel() for rows in (positive, ~positive))
        ratio = np.log(p / p.sum()) - np.log(q / q.sum())
        linear = LogisticRegression(C=self.C, solver="liblinear", dual=True, max_iter=10_000, random_state=0)
        linear.fit(features @ scipy.sparse.diags_array(ratio), positive)
        weights = linear.coef_[0]
        kept = (1 - self.interpolation) * np.abs(weights).mean() + self.interpolation * weights
        self.weights_, self.bias_ = ratio * kept, linear.intercept_[0]
        return self

    def decision_function(self, features: scipy.sparse.csr_array) -> np.ndarray:
        """Returns the logit of the positive class, [n]."""
        return features @ self.weights_ + self.bias_

    def predict(self, features: scipy.sparse.csr_array) -> np.ndarray:
        """Returns the more probable class, [n]."""
        return self.classes_[(self.decision_function(features) > 0).astype(int)]

    def predict_proba(self, features: scipy.sparse.csr_array) -> np.ndarray:
        """Returns the probabilities of both classes, [n, 2]."""
        logits = self.decision_function(features)
        return scipy.special.expit(np.column_stack([-logits, logits]))  # 1 - p would round small ones to 0


def _fit_linear(
    vectorizer: Any, classifier: Any, texts: Sequence[bytes], labels: np.ndarray, classes: int | None
) -> Fitted:
    labels, classes = _checked(texts, labels, classes)
    if len(np.unique(labels)) == 1:
        return fit_majority(texts, labels, classes)
    try:
        features = vectorizer.fit_transform([readable(text) for text in texts])
    except ValueError:  # so scikit-learn says that no word or too rare words are left
        return fit_majority(texts, labels, classes)
    return Fitted(vectorizer, classifier.fit(features, labels), classes)


def _checked(texts: Sequence[bytes], labels: np.ndarray, classes: int | None) -> tuple[np.ndarray, int]:
    labels = np.asarray(labels)
    if labels.shape != (len(texts),) or labels.dtype.kind not in "iu" or not len(labels):
        raise ValueError(f"need one integer label a text, got {labels.dtype} {labels.shape} for {len(texts)} texts")
    classes = max(2, int(labels.max()) + 1) if classes is None else classes
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be in [0, {classes}), got {labels.min()} to {labels.max()}")
    return labels, classes

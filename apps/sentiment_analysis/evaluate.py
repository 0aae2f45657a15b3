"""How well reviews are classified, how far the probabilities can be trusted, and if a linear model does as well."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from apps.sentiment_analysis import plots
from apps.sentiment_analysis.assets import SentimentAssets, encode_all
from apps.sentiment_analysis.baselines import BASELINES, calibrated, readable
from apps.sentiment_analysis.batches import by_length, read_part, rows_of
from apps.sentiment_analysis.config import SentimentConfig
from apps.sentiment_analysis.data import Corpus
from apps.sentiment_analysis.metrics import confusion, mcnemar, measure
from recur.errors import InputError
from recur.metrics.calibration import checked, fit_temperature, wilson_interval, with_temperature
from recur.training.runs import Run
from recur.training.task import Evaluation, Trained

MISTAKES, SHOWN = 20, 200


def evaluate(trained: Trained[SentimentConfig, SentimentAssets], corpus: Corpus, run: Run) -> Evaluation:
    """Measures the model and its baselines on the test part, and draws the pictures.

    Raises:
        InputError: The classes are not those of the run.
    """
    labels = trained.assets.labels
    if tuple(corpus.labels) != tuple(labels):
        raise InputError(
            f"{corpus.source} has the classes {', '.join(corpus.labels)} and the run knows {', '.join(labels)}; "
            f"evaluate it on data with the same classes"
        )
    validation, test = corpus.validation, corpus.test
    of_validation, of_test = logits(trained, validation.texts), logits(trained, test.texts)
    baselines = {}
    for name, fit in tqdm.tqdm(BASELINES.items(), "baselines", file=sys.stderr, leave=False, disable=None):
        fitted = fit(corpus.train.texts, corpus.train.labels, classes=len(labels))
        baselines[name] = calibrated(fitted, validation.texts, validation.labels).probabilities(test.texts)
    result = compare(labels, of_validation, validation.labels, of_test, test.texts, test.labels, baselines)
    scaled, strongest = with_temperature(of_test, result.details["temperature"]), result.details["mcnemar"]["baseline"]
    compared = {"this model": scaled, strongest: baselines[strongest]}
    right = {name: probabilities.argmax(axis=1) == test.labels for name, probabilities in compared.items()}
    plots.reliability_plot(with_temperature(of_test, 1.0), scaled, test.labels, run.plots / "reliability.png")
    plots.confusion_plot(result.details["confusion"], labels, run.plots / "confusion.png")
    plots.accuracy_by_length_plot(plots.word_counts(test.texts), right, run.plots / "accuracy_by_length.png")
    return result


def logits(trained: Trained[SentimentConfig, SentimentAssets], texts: Sequence[bytes]) -> np.ndarray:
    """Logits before the temperature: float32 [texts, classes], a row the same whatever is beside it."""
    reviews = read_part(encode_all(texts, trained.assets.vocabulary), trained.config)
    call = tf.function(
        lambda ids: trained.model(ids, training=False), input_signature=[tf.TensorSpec([None, None], tf.int32)]
    )
    result = np.empty((len(reviews), len(trained.assets.labels)), np.float32)
    with tqdm.tqdm(total=len(reviews), desc="reading", unit="review", delay=2, leave=False, disable=None) as bar:
        for rows in by_length(reviews):
            result[rows] = call(rows_of(reviews, rows)).numpy()
            bar.update(len(rows))
    return result


def compare(
    corpus_labels: Sequence[str],
    validation_logits: np.ndarray,
    validation_labels: np.ndarray,
    test_logits: np.ndarray,
    test_texts: Sequence[bytes],
    test_labels: np.ndarray,
    baselines: Mapping[str, np.ndarray],
) -> Evaluation:
    """Measures the model, after temperature scaling fitted on validation, beside its baselines.

    Temperature scaling moves no answer, so accuracy is what it was before. The probabilities of the baselines are taken
    as they are: for a fair comparison of `ece` and `log_loss`, `baselines.calibrated` scales them alike.

    Args:
        corpus_labels: Names of the classes.
        validation_logits: float [validation, classes].
        validation_labels: int [validation].
        test_logits: float [n, classes].
        test_texts: Raw reviews, n of them.
        test_labels: int [n].
        baselines: By name, float [n, classes], probabilities on test.

    Returns:
        The metrics of each; among the details McNemar's test against the baseline with the highest accuracy.

    Raises:
        ValueError: As `measure`, or there is not one text a label or one name a class.
    """
    test_logits, test_labels = checked(test_logits, test_labels)
    if len(test_texts) != len(test_labels) or len(corpus_labels) != test_logits.shape[1]:
        raise ValueError(
            f"{len(test_texts)} texts and {len(corpus_labels)} names do not fit logits of shape {test_logits.shape}"
        )
    temperature = fit_temperature(validation_logits, validation_labels)
    unscaled = measure(with_temperature(test_logits, 1.0), test_labels)
    probabilities = with_temperature(test_logits, temperature)
    right = probabilities.argmax(axis=1) == test_labels
    measured = {name: measure(theirs, test_labels) for name, theirs in baselines.items()}
    best = max(measured, key=lambda name: measured[name]["accuracy"], default=None)
    details = {
        "labels": list(corpus_labels),
        "accuracy_95": list(wilson_interval(right.sum(), len(right))),
        "temperature": temperature,
        "ece_before_scaling": unscaled["ece"],
        "log_loss_before_scaling": unscaled["log_loss"],
        "confusion": confusion(probabilities, test_labels).tolist(),
        "mistakes": mistakes(corpus_labels, probabilities, test_texts, test_labels),
    }
    if best is not None:
        test = mcnemar(right, np.asarray(baselines[best]).argmax(axis=1) == test_labels)
        details["mcnemar"] = {"baseline": best, **test}
    return Evaluation("test", len(test_texts), measure(probabilities, test_labels), measured, details)


def mistakes(
    corpus_labels: Sequence[str], probabilities: np.ndarray, texts: Sequence[bytes], labels: np.ndarray
) -> list[dict[str, Any]]:
    """The twenty wrong answers with the highest probability, most confident first.

    Returns:
        Of each `text`, its first 200 characters; `label`, what it is; `predicted`, what the model says; `probability`,
        of what it says.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    return [
        {
            "text": _shortened(texts[row]),
            "label": corpus_labels[labels[row]],
            "predicted": corpus_labels[predicted[row]],
            "probability": float(confidence[row]),
        }
        for row in worst
    ]


def _shortened(text: bytes) -> str:
    words = " ".join(readable(text).split())
    return words if len(words) <= SHOWN else words[: SHOWN - 1] + "…"

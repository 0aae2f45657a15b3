"""What `evaluate` does: the model and its baselines on the same reviews, and the pictures."""

import sys

import tqdm

from apps.sentiment_analysis import plots
from apps.sentiment_analysis.baselines import BASELINES, calibrated
from apps.sentiment_analysis.data import Corpus
from apps.sentiment_analysis.evaluation import compare
from apps.sentiment_analysis.prediction import logits
from recur.errors import InputError
from recur.metrics.calibration import with_temperature
from recur.training.runs import Run
from recur.training.task import Evaluation, Trained


def evaluate(trained: Trained, corpus: Corpus, run: Run) -> Evaluation:
    """Measures on the test part.

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
    found = compare(labels, of_validation, validation.labels, of_test, test.texts, test.labels, baselines)
    details = dict(found.details)
    for file, draw in _pictures(found, with_temperature(of_test, 1.0), corpus, baselines).items():
        draw(run.plots / file)
    return Evaluation("test", len(test.texts), found.metrics, found.baselines, details)


def _pictures(found, before, corpus, baselines):
    right = {"this model": found.probabilities.argmax(axis=1) == corpus.test.labels}
    if found.best_baseline:
        right[found.best_baseline] = baselines[found.best_baseline].argmax(axis=1) == corpus.test.labels
    words, labels = plots.word_counts(corpus.test.texts), corpus.test.labels
    counts = found.details["confusion"]
    return {
        "reliability.png": lambda path: plots.reliability_plot(before, found.probabilities, labels, path),
        "confusion.png": lambda path: plots.confusion_plot(counts, corpus.labels, path),
        "accuracy_by_length.png": lambda path: plots.accuracy_by_length_plot(words, right, path),
    }

"""Pictures of an evaluation: how far probabilities can be trusted, what is taken for what, and long reviews."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from apps.sentiment_analysis.baselines import readable
from recur.files import save_figure
from recur.metrics.calibration import expected_calibration_error, reliability, wilson_interval

GROUPS = 10


def reliability_plot(before: np.ndarray, after: np.ndarray, labels: np.ndarray, path: Path) -> Path:
    """Draws accuracy against confidence, before and after temperature scaling, over the number of answers in each bin.

    Args:
        before: float [n, classes], probabilities at temperature 1.
        after: The same at the fitted temperature.
        labels: int [n].
        path: Where the PNG goes.
    """
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(5, 6), sharex=True, height_ratios=(3, 1), layout="constrained")
    upper.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    for name, probabilities in (("before scaling", before), ("after scaling", after)):
        table = reliability(probabilities, labels)
        filled = table.counts > 0
        error = expected_calibration_error(probabilities, labels)
        name = f"{name}, error {error:.3f}"
        upper.plot(table.confidence[filled], table.accuracy[filled], marker="o", markersize=4, label=name)
        lower.stairs(table.counts, table.edges, label=name)
    lowest = 1 / before.shape[1]  # the highest probability of a row is no lower
    upper.set(xlim=(lowest, 1), ylim=(0, 1.02), ylabel="share that is right", title="Reliability")
    lower.set(xlabel="confidence", ylabel="answers")
    upper.legend()
    for axis in (upper, lower):
        axis.grid(alpha=0.3)
    return save_figure(figure, path)


def confusion_plot(counts: np.ndarray, names: Sequence[str], path: Path) -> Path:
    """Draws how often each class was taken for each, on the colour of the share of its row.

    Args:
        counts: int [classes, classes], true class by predicted class.
        names: Of the classes.
        path: Where the PNG goes.
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.9 * len(names)
    figure, axis = plt.subplots(figsize=(side, side), layout="constrained")
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        ink = "white" if shares[row, column] > 0.5 else "black"
        text = f"{counts[row, column]:,}\n{shares[row, column]:.1%}"
        axis.text(column, row, text, ha="center", va="center", color=ink)
    names = [_plain(name) for name in names]
    axis.set_xticks(range(len(names)), names)
    axis.set_yticks(range(len(names)), names, rotation=90, va="center")
    axis.set(xlabel="predicted", ylabel="true", title="What is taken for what")
    return save_figure(figure, path)


def word_counts(texts: Sequence[bytes]) -> np.ndarray:
    """The number of words of each review, int [n]: what blanks and HTML breaks part."""
    return np.array([len(readable(text).split()) for text in texts], int)


def accuracy_by_length_plot(words: np.ndarray, right: Mapping[str, np.ndarray], path: Path) -> Path:
    """Draws accuracy with its 95 % interval against the length of reviews, in groups of about as many reviews each.

    Args:
        words: int [n], the number of words of each review.
        right: By the name of a classifier, bool [n]: whether its answer is right.
        path: Where the PNG goes.
    """
    edges = np.unique(np.quantile(words, np.linspace(0, 1, GROUPS + 1)[1:-1], method="inverted_cdf"))
    group_of = np.searchsorted(edges, words, side="left")
    groups = [np.flatnonzero(group_of == group) for group in np.unique(group_of)]
    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    for name, hits in right.items():
        accuracy = [hits[rows].mean() for rows in groups]
        low, high = np.transpose([wilson_interval(hits[rows].sum(), len(rows)) for rows in groups])
        (line,) = axis.plot(accuracy, marker="o", markersize=4, label=_plain(name))
        axis.fill_between(range(len(groups)), low, high, color=line.get_color(), alpha=0.15)
    spans = [f"{words[rows].min()}–{words[rows].max()}" for rows in groups]
    axis.set_xticks(range(len(groups)), spans, fontsize=8)
    axis.set(xlabel="words in the review", ylabel="accuracy, with its 95 % interval", title="Accuracy by length")
    axis.legend()
    axis.grid(alpha=0.3)
    return save_figure(figure, path)


def _plain(name: str) -> str:
    """A name as it stands: a dollar sign would begin a formula."""
    return name.replace("$", r"\$")

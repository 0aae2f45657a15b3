"""Pictures of an evaluation: where the model looks, and how it does on long sentences."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from recur.files import save_figure
from recur.text.subwords import SPACE

MAPS, TOKENS, LETTERS = 4, 40, 18
CONTINUED = "·"

AttentionMap = tuple[Sequence[str], Sequence[str], np.ndarray]
"""Source pieces, target pieces, and float [target, source], the share of the attention on each source piece."""


def attention_plot(maps: Sequence[AttentionMap], path: Path) -> Path:
    """Draws the source pieces that each target piece was written from, of the first four sentences.

    Args:
        maps: Of sentences; of longer ones the first forty pieces are drawn.
        path: Where the PNG goes.

    Raises:
        ValueError: There is no sentence, or weights are not [target, source].
    """
    if not maps:
        raise ValueError("need at least one sentence to draw")
    for source, target, weights in maps:
        if np.shape(weights) != (len(target), len(source)) or not np.size(weights):
            raise ValueError(f"weights {np.shape(weights)} do not fit {len(target)} by {len(source)} pieces")
    maps = [(source[:TOKENS], target[:TOKENS], weights[:TOKENS, :TOKENS]) for source, target, weights in maps[:MAPS]]
    columns = min(2, len(maps))
    rows = -(-len(maps) // columns)
    wide, high = (3.6 + 0.27 * max(len(sentence[side]) for sentence in maps) for side in (0, 1))
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * wide, rows * high), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(maps) :]:
        axis.set_axis_off()
    for axis, (source, target, weights) in zip(axes.flat, maps, strict=False):
        image = axis.imshow(weights, cmap="Blues", vmin=0, vmax=1)
        axis.set_xticks(range(len(source)), pieces(source), rotation=90)
        axis.set_yticks(range(len(target)), pieces(target))
        axis.tick_params(labelsize=9, length=0, labeltop=True, labelbottom=False)
        axis.set_xticks(np.arange(0.5, len(source) - 1), minor=True)
        axis.set_yticks(np.arange(0.5, len(target) - 1), minor=True)
        axis.grid(which="minor", color="grey", alpha=0.2, linewidth=0.5)
        axis.tick_params(which="minor", length=0)
    figure.colorbar(image, ax=axes, label="share of the attention", shrink=0.6, aspect=40, pad=0.01)
    figure.suptitle("Where the model looks: source across, translation down")
    with warnings.catch_warnings():
        # A script that the font lacks is drawn as boxes; the map is of use still.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        return save_figure(figure, path)


def pieces(tokens: Sequence[str]) -> list[str]:
    r"""Subword pieces as they can be read: those that continue a word begin with a middle dot.

    Example:
        >>> pieces(["▁Schnee", "ball", "schlacht", "</s>"]), pieces(["$5", "!"])
        (['Schnee', '·ball', '·schlacht', '</s>'], ['\\$5', '!'])
    """
    marked = any(token.startswith(SPACE) for token in tokens)
    return [_piece(token, marked) for token in tokens]


def _piece(token: str, marked: bool) -> str:
    symbol = len(token) > 2 and (token[0], token[-1]) in {("<", ">"), ("[", "]")}
    if token.startswith(SPACE):
        text = token.removeprefix(SPACE) or SPACE
    else:
        text = CONTINUED + token if marked and not symbol else token
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    text = text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
    return text.replace("$", r"\$")  # a dollar sign would begin a formula


def bleu_by_length_plot(lengths: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> Path:
    """Draws BLEU of each group of sentences, model beside baselines.

    Args:
        lengths: By the name of who translates, what `metrics.by_length` returns; the groups are the same.
        path: Where the PNG goes.
    """
    groups = next(iter(lengths.values()))
    places, width = np.arange(len(groups)), 0.8 / len(lengths)
    figure, axis = plt.subplots(figsize=(max(5, 1.1 * len(groups) + 1), 4), layout="constrained")
    for number, (name, measured) in enumerate(lengths.items()):
        shift = (number - (len(lengths) - 1) / 2) * width
        bars = axis.bar(places + shift, [group["bleu"] for group in measured], width, label=name.replace("_", " "))
        axis.bar_label(bars, fmt="%.0f", fontsize=7)
    axis.set_xticks(places, [f"{group['words']}\n{group['sentences']:,} sentences" for group in groups], fontsize=8)
    axis.set(xlabel="words in the source", ylabel="BLEU", title="BLEU by length")
    axis.legend()
    axis.grid(alpha=0.3, axis="y")
    axis.set_axisbelow(True)
    return save_figure(figure, path)

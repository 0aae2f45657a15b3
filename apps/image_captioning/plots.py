"""Pictures of an evaluation: where the model looks for each word, and what it says of test images."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from recur.files import save_figure

MAPS, WORDS = 4, 11
SHEET = 25
LETTERS = 34


class AttentionMaps(NamedTuple):
    """An image, what was said of it, and where the decoder looked meanwhile.

    Attributes:
        pixels: uint8 [height, width, 3], as the encoder sees them.
        words: Of the caption.
        weights: float32 [words, rows, columns].
    """

    pixels: np.ndarray
    words: list[str]
    weights: np.ndarray


def attention_plot(described: Sequence[AttentionMaps], path: Path) -> Path:
    """Draws the words of captions over their attention maps on the image, of the first four images.

    Args:
        described: Images, words and weights; of longer captions the first eleven words are drawn.
        path: Where the PNG goes.

    Raises:
        ValueError: There is no image, or weights are not [words, rows, columns].
    """
    if not described:
        raise ValueError("need at least one image to draw")
    for _, words, weights in described:
        if np.ndim(weights) != 3 or len(weights) != len(words):
            raise ValueError(f"weights {np.shape(weights)} do not fit {len(words)} words")
    described = described[:MAPS]
    columns = 1 + min(WORDS, max(len(words) for _, words, _ in described))
    figure, axes = plt.subplots(
        len(described),
        columns,
        figsize=(1.6 * columns, 1.85 * len(described) + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for row, (pixels, words, weights) in zip(axes, described, strict=True):
        row[0].imshow(pixels)
        height, width, _ = pixels.shape
        for axis, word, weight in zip(row[1:], words, weights, strict=False):
            axis.imshow(pixels)
            axis.imshow(
                weight, cmap="inferno", alpha=0.6, extent=(0, width, height, 0), interpolation="bicubic", vmin=0
            )
            axis.set_title(plain(word), fontsize=9)
    figure.suptitle("Where the model looks for each word: the brighter, the more")
    return save_figure(figure, path)


def contact_sheet(images: np.ndarray, captions: Sequence[str], path: Path) -> Path:
    """Draws images with their captions, five in a row.

    Args:
        images: uint8 [images, height, width, 3], at least one.
        captions: One an image.
        path: Where the PNG goes.
    """
    columns = min(5, len(images))
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.5 * columns, 2.95 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, pixels, caption in zip(axes.flat, images, captions, strict=False):
        axis.imshow(pixels)
        axis.set_title(plain("\n".join(textwrap.wrap(caption, LETTERS))), fontsize=8)
    return save_figure(figure, path)


def plain(text: str) -> str:
    r"""Text as matplotlib is to draw it: a dollar sign would begin a formula.

    Example:
        >>> plain("$5")
        '\\$5'
    """
    return text.replace("$", r"\$")

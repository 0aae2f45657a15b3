"""Which characters surprise the model."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from recur.files import save_figure

COLUMNS = 80


def surprise_map(text: str, surprise: np.ndarray, path: Path) -> Path:
    """Draws a passage with every character on the colour of its negative log-likelihood.

    Args:
        text: The passage.
        surprise: float [characters], nats.
        path: Where the PNG goes.
    """
    rows: list[list[tuple[str, float]]] = [[]]
    for character, nats in zip(text, surprise, strict=True):
        rows[-1].append(("\u21b5" if character == "\n" else character, float(nats)))
        if character == "\n" or len(rows[-1]) == COLUMNS:
            rows.append([])
    rows = [row for row in rows if row][:24]
    grid = np.full((len(rows), max(map(len, rows))), np.nan)
    for y, row in enumerate(rows):
        grid[y, : len(row)] = [nats for _, nats in row]
    figure, axis = plt.subplots(figsize=(0.15 * grid.shape[1] + 1, 0.26 * len(rows) + 0.8))
    image = axis.imshow(grid, cmap="YlOrRd", vmin=0, vmax=5, aspect="auto")
    for y, row in enumerate(rows):
        for x, (character, _) in enumerate(row):
            ink = "white" if grid[y, x] > 3.5 else "black"
            axis.text(x, y, character.replace("$", r"\$"), ha="center", va="center", fontsize=8, color=ink)
    axis.set_axis_off()
    axis.set_title("Surprise at each character, given all before it")
    figure.colorbar(image, ax=axis, label="nats", fraction=0.02, pad=0.01)
    return save_figure(figure, path)

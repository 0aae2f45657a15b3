"""What the gradient monitor shows in TensorBoard."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import tensorflow as tf

from shared.callbacks.gradient_recorder import GradientRecorder
from shared.gradients.heat_maps import gradient_flow, gradient_through_time
from shared.gradients.records import Record


class GradientSummaries:
    """Writes scalars, histograms and heat maps.

    Args:
        folder: The log directory.
    """

    def __init__(self, folder: Path):
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, records: Sequence[Record], labels: Sequence[tuple], recorder: GradientRecorder) -> None:
        """Writes what one look saw: numbers as scalars, weights and samples of their gradients as histograms."""
        step = records[0].step
        with self._writer.as_default(step):
            for record in records:
                if record.index is None:
                    tf.summary.scalar(_tag(record.layer, record.kind, record.quantity), record.value)
            for i in recorder.tapped:
                tf.summary.histogram(_tag(*labels[i], "gradient"), recorder.samples()[i])
                tf.summary.histogram(_tag(*labels[i], "weight"), recorder.variables[i].value)

    def heat_maps(self, step: int, records: pd.DataFrame) -> None:
        """Writes the pictures of all that was seen so far."""
        with self._writer.as_default(step):
            for name, draw in (("gradient_flow", gradient_flow), ("gradient_through_time", gradient_through_time)):
                figure = draw(records)
                if figure is not None:
                    content = io.BytesIO()
                    figure.savefig(content, format="png", dpi=80)
                    plt.close(figure)
                    tf.summary.image(name, tf.io.decode_png(content.getvalue(), channels=4)[None])

    def close(self) -> None:
        """Writes what is still to be written."""
        self._writer.close()


def _tag(layer: str, kind: str, quantity: str) -> str:
    return f"gradients/{layer or 'model'}/{kind}/{quantity}"

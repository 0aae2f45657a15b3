"""Captions a second of image captioning, contents of files in, and where the time goes.

    python -m benchmarks.serving.captioning [RUN] [--data SOURCE] [--images 100] [--rounds 5] [--json]

The run's export answers images of the test part through the C++ loader, as TensorFlow Serving would, one at a time and
16 at a time. Two parts of the same graph are exported beside it: decoding alone, and decoding with encoding. The three
are called in turn in every round; the shares are of the medians, the search being what the whole takes more. The
captions of the first round are compared with those of `predict`.
"""

import dataclasses
import json as json_format
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import numpy as np
import tensorflow as tf
import tqdm
import tyro

from apps.image_captioning.application import APPLICATION
from apps.image_captioning.evaluate import caption_all
from apps.image_captioning.images import decode_what_can_be
from recur.errors import InputError
from recur.serving.export import export_run
from recur.training import loading
from recur.training.runs import open_run
from recur.training.task import Trained
from tfserving_dev.session import NativeSavedModel

BATCHES = (1, 16)
PARTS = ("decoding", "decoding and encoding", "all")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the speed of image captioning."""

    run: tyro.conf.Positional[str] = "latest"
    """A run of image captioning, or `latest`."""
    data: str | None = None
    """Where the images come from; by default what the run was trained on."""
    images: int = 100
    """How many images of the test part are described in a round."""
    rounds: int = 5
    """Rounds, in each of which every part reads every image once for each batch size."""
    json: bool = False
    """Print one JSON object and nothing else."""


class Parts(tf.Module):
    """The first parts of a captioner's graph; each answers with one number an image.

    Args:
        trained: The model of a run.
    """

    def __init__(self, trained: Trained):
        super().__init__()
        encoder = trained.model.encoder
        self._owned = [variable.value for variable in encoder.variables]
        self._encode = lambda pixels: encoder(pixels, training=False)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def decode(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """The largest value of each image's pixels."""
        return {"answer": tf.reduce_max(decode_what_can_be(image_bytes)[0], axis=[1, 2, 3])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def encode(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """The largest feature of each image."""
        return {"answer": tf.reduce_max(self._encode(decode_what_can_be(image_bytes)[0]), axis=[1, 2, 3])}


def main(arguments: Arguments) -> None:
    """Measures, and prints a table."""
    if min(arguments.images, arguments.rounds) < 1:
        sys.exit("error: there must be at least one image and one round")
    try:
        run = open_run(APPLICATION.name, arguments.run)
        trained = loading.load(APPLICATION, run)
        if arguments.data:
            album = APPLICATION.task.read(arguments.data, trained.config)
        else:
            album = loading.read_again(APPLICATION, run, trained.config)
    except InputError as error:
        sys.exit(f"error: {error}")
    chosen = random.Random(0).sample(range(len(album.test)), min(arguments.images, len(album.test)))
    images = [album.test.images[index] for index in chosen]
    with tempfile.TemporaryDirectory() as folder:
        whole = NativeSavedModel(export_run(APPLICATION, run, trained, Path(folder)))
        parts = Parts(trained)
        signatures = {"decode": parts.decode, "encode": parts.encode}
        tf.saved_model.save(parts, f"{folder}/parts", signatures=signatures)
        beginning = NativeSavedModel(f"{folder}/parts")
        ways = {
            "decoding": lambda some: beginning.run({"image_bytes": some}, "decode"),
            "decoding and encoding": lambda some: beginning.run({"image_bytes": some}, "encode"),
            "all": lambda some: whole.run({"image_bytes": some}),
        }
        seconds, captions = measure(ways, images, arguments.rounds)
    expected = caption_all(APPLICATION.task.serving_module(trained), images)
    report = {"run": run.label, "data": album.source, "images": len(images), "rounds": arguments.rounds}
    report |= {"cores": os.cpu_count(), "beam_width": trained.config.beam_width}
    report |= {"same_captions": sum(a == b for a, b in zip(captions, expected, strict=True)), "rows": rows(seconds)}
    print(json_format.dumps(report) if arguments.json else table(report))


def measure(
    ways: dict[str, Any], images: Sequence[bytes], rounds: int
) -> tuple[dict[tuple[str, int], float], list[str]]:
    """Median seconds an image by part and batch, and the captions of all images one at a time."""
    seconds: dict[tuple[str, int], list[float]] = {(part, batch): [] for batch in BATCHES for part in PARTS}
    for part, batch in seconds:  # the first calls of a graph are slow
        for begin in range(0, len(images), batch)[:3]:
            ways[part](np.array(images[begin : begin + batch], dtype=object))
    captions: list[str] = []
    with tqdm.tqdm(total=rounds * len(seconds), unit="turn", file=sys.stderr, disable=None) as bar:
        for turn in range(rounds):
            for (part, batch), values in seconds.items():
                begun = time.perf_counter()
                for begin in range(0, len(images), batch):
                    answer = ways[part](np.array(images[begin : begin + batch], dtype=object))
                    if (turn, part, batch) == (0, "all", 1):
                        captions += [caption.decode() for caption in answer["caption"]]
                values.append((time.perf_counter() - begun) / len(images))
                bar.update()
    return {key: statistics.median(values) for key, values in seconds.items()}, captions


def rows(seconds: dict[tuple[str, int], float]) -> list[dict[str, float]]:
    """What each batch size comes to: captions a second, and the shares of the parts."""
    measured = []
    for batch in BATCHES:
        decoding, encoded, whole = (seconds[part, batch] for part in PARTS)
        shares = {"decoding": decoding, "encoding": encoded - decoding, "search": whole - encoded}
        measured.append(
            {"batch": batch, "captions_per_second": 1 / whole} | {name: part / whole for name, part in shares.items()}
        )
    return measured


def table(report: dict[str, Any]) -> str:
    """The rates in Markdown."""
    lines = [
        f"{report['run']} on {report['images']} images of {report['data']}, beam of {report['beam_width']}, medians of "
        f"{report['rounds']} rounds; captions as those of predict: {report['same_captions']} of {report['images']}",
        "",
        "| batch | captions a second | decoding | encoding | search |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['batch']} | {row['captions_per_second']:.1f} | {row['decoding']:.0%} | {row['encoding']:.0%} "
        f"| {row['search']:.0%} |"
        for row in report["rows"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Arguments))

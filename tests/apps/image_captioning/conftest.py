"""Photographs that come with other packages, images encoded in every way, and a run on coloured squares."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import PIL.Image
import pytest
import sklearn

from apps.image_captioning.application import APPLICATION
from recur.cli.application import main
from tests.conftest import kept_as_stopped

PHOTOGRAPHS = {
    "china": Path(sklearn.__file__).parent / "datasets/images/china.jpg",
    "flower": Path(sklearn.__file__).parent / "datasets/images/flower.jpg",
    "grace_hopper": Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg",
}


SMALL_MODEL = {
    "vocabulary_size": 12,
    "encoder": "efficientnet_lite0",
    "attention": True,
    "cell": "lstm",
    "embedding_units": 6,
    "units": 8,
    "layers": 1,
    "attention_penalty": 1.0,
    "scheduled_sampling": 0.0,
    "word_dropout": 0.0,
    "embedding_dropout": 0.0,
    "context_dropout": 0.0,
    "output_dropout": 0.0,
}
"""Arguments of a `CaptioningModel`."""


def encoded(image: PIL.Image.Image, kind: str, **settings) -> bytes:
    """An image as the content of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photograph() -> PIL.Image.Image:
    """A small part of a photograph, wider than high."""
    with PIL.Image.open(PHOTOGRAPHS["china"]) as image:
        return image.convert("RGB").resize((160, 107)).crop((0, 0, 150, 100))


@pytest.fixture(scope="session")
def translucent(photograph) -> PIL.Image.Image:
    """The same, ever less opaque from left to right."""
    image = photograph.convert("RGBA")
    image.putalpha(PIL.Image.fromarray(np.tile(np.linspace(255, 0, image.width).astype(np.uint8), (image.height, 1))))
    return image


FLAGS = (
    "--preset quick --minimum-count 1 --units 32 --embedding-units 16 --batch-size 8 --learning-rate 0.01 "
    "--warmup-steps 5 --epochs 2 --steps-per-epoch 45 --label-smoothing 0 --embedding-dropout 0 --context-dropout 0.1 "
    "--output-dropout 0 --ema-momentum 0.9 --attention-penalty 0.1 --beam-width 3"
)
COLOURS = {"red": "#d01010", "green": "#109030", "blue": "#1040d0"}
SIDES = {"left": 10, "right": 90}


def write_squares(folder: Path) -> None:
    """Images of a coloured square at one side, two captions each, and `captions.csv`; the last 6 of 36 are the test."""
    chooser = random.Random(0)
    rows = ["image,caption,split"]
    for index in range(36):
        colour, side = chooser.choice(list(COLOURS)), chooser.choice(list(SIDES))
        image = PIL.Image.new("RGB", (160, 120), "white")
        place = (SIDES[side] + chooser.randrange(-6, 7), chooser.randrange(10, 60))
        image.paste(COLOURS[colour], (*place, place[0] + 50, place[1] + 50))
        image.save(folder / f"{index:02d}.png")
        part = "train" if index < 24 else "val" if index < 30 else "test"
        rows += [f"{index:02d}.png,A {colour} square on the {side}.,{part}"] * 2
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="session")
def squares(made_once: Callable[..., Path]) -> Path:
    """A folder of images and captions. Do not write there."""
    return made_once("squares", write_squares)


@pytest.fixture(scope="session")
def tiny_captioning_run(made_once: Callable[..., Path], squares: Path) -> Path:
    """The folder of a finished run; `stopped` beside it is that run after its first epoch. Do not write there."""

    def train(folder: Path) -> None:
        words = ["train", "--data", str(squares), *FLAGS.split(), "--out", str(folder / "run"), "--debug"]
        with kept_as_stopped(folder / "stopped", lambda trainer: trainer.progress.step == 45):
            assert main(APPLICATION, words) == 0

    return made_once("tiny-captioning-run", train) / "run"


@pytest.fixture(scope="session")
def tiny_flags() -> list[str]:
    """The settings of that run, as words of a command line."""
    return FLAGS.split()


@pytest.fixture(scope="session")
def tiny_captioner(tiny_captioning_run: Path):
    """The serving module of that run."""
    from recur.training.loading import load
    from recur.training.runs import Run

    return APPLICATION.task.serving_module(load(APPLICATION, Run(tiny_captioning_run)))


@pytest.fixture
def image_captioning(command_line: Callable):
    """The command line of image captioning."""
    return command_line("image_captioning")

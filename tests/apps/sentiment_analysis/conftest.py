"""A table of reviews that a small grammar writes, and a run trained on it, pre-training and all."""

import csv
import random
from pathlib import Path

import pytest

from apps.sentiment_analysis.application import APPLICATION
from recur.cli.application import main
from tests.conftest import MadeOnce, kept_as_stopped

THINGS = ("the plot", "the tea", "every scene", "the cake", "the music", "this soap", "the ending")
WORDS = {
    "good": ("lovely", "bright", "superb", "warm"),
    "bad": ("dull", "stale", "awful", "cold", "bitter"),
}
FLAGS = (  # of a review 32 words are read, so that recurrent layers are compiled for one length
    "--preset quick --units 8 --embedding-units 8 --batch-size 8 --longest 32 --learning-rate 0.02 --warmup-steps 5 "
    "--epochs 2 --steps-per-epoch 32 --pretraining-steps 10 --pretraining-batch-size 4 --pretraining-window 8 "
    "--sampled 20"
)


def write_reviews(path: Path, count: int = 240, seed: int = 0) -> Path:
    """A table of reviews, half of them good: one of two words decides."""
    chooser = random.Random(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(count):
            label = ("bad", "good")[number % 2]
            parts = [
                f"{chooser.choice(THINGS)} was {chooser.choice(WORDS[label])}" for _ in range(chooser.randint(1, 6))
            ]
            writer.writerow([f"{number} times: {', '.join(parts)}.", label])
    return path


@pytest.fixture(scope="session")
def tiny_reviews(made_once: MadeOnce) -> Path:
    """240 reviews."""
    return made_once("tiny-reviews", lambda folder: write_reviews(folder / "reviews.csv")) / "reviews.csv"


@pytest.fixture(scope="session")
def tiny_sentiment_run(made_once: MadeOnce, tiny_reviews: Path) -> Path:
    """The folder of a finished run; `stopped` beside it is that run before its last epoch. Do not write there."""

    def train(folder: Path) -> None:
        words = ["train", "--data", str(tiny_reviews), *FLAGS.split(), "--out", str(folder / "run"), "--debug"]
        with kept_as_stopped(folder / "stopped", lambda trainer: trainer.progress.step == 32):
            assert main(APPLICATION, words) == 0

    return made_once("tiny-sentiment-run", train) / "run"


@pytest.fixture(scope="session")
def tiny_flags() -> list[str]:
    """The settings of that run, as words of a command line."""
    return FLAGS.split()

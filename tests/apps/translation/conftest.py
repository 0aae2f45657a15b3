"""Sentences of a small grammar in two languages of our own making, and a run trained on them."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.translation.application import APPLICATION
from recur.cli.application import main
from tests.conftest import kept_as_stopped

NOUNS = {"cat": "gato", "dog": "perlo", "bird": "avio", "horse": "kavalo", "fish": "pesko"}
ADJECTIVES = {"red": "ruba", "small": "pika", "old": "viela", "quiet": "kaluma"}
VERBS = {"sees": "vida", "follows": "seka", "hears": "odia", "finds": "trova"}
FLAGS = (
    "--preset quick --decoder conditional --source en --target xx --units 32 --embedding-units 32 --subwords bpe "
    "--vocabulary-size 150 --batch-tokens 256 --learning-rate 0.01 --warmup-steps 10 --epochs 2 --steps-per-epoch 80 "
    "--label-smoothing 0 --embedding-dropout 0 --context-dropout 0 --output-dropout 0 --ema-momentum 0.9"
)


def sentence(chooser: random.Random) -> tuple[str, str]:
    """A sentence and its translation, in which adjectives follow nouns and the verb comes last."""
    sides = []
    for _ in range(2):
        noun, adjective = chooser.choice(list(NOUNS)), chooser.choice(["", *ADJECTIVES])
        english = " ".join(filter(None, ["the", adjective, noun]))
        sides.append((english, " ".join(filter(None, ["lo", NOUNS[noun], ADJECTIVES.get(adjective)]))))
    verb = chooser.choice(list(VERBS))
    (subject, translated_subject), (thing, translated_thing) = sides
    return (
        f"{subject} {verb} {thing}.".capitalize(),
        f"{translated_subject} {translated_thing} {VERBS[verb]}.".capitalize(),
    )


def write_pairs(folder: Path, count: int = 400, seed: int = 0) -> Path:
    """Two files aligned by line, `pairs.en` and `pairs.xx`; what their names share is returned."""
    chooser = random.Random(seed)
    rows = sorted({sentence(chooser) for _ in range(count)})
    for side, language in enumerate(("en", "xx")):
        (folder / f"pairs.{language}").write_text("".join(row[side] + "\n" for row in rows))
    return folder / "pairs"


@pytest.fixture(scope="session")
def tiny_pairs(made_once: Callable[..., Path]) -> Path:
    """A few hundred pairs of sentences."""
    return made_once("tiny-pairs", write_pairs) / "pairs"


@pytest.fixture(scope="session")
def tiny_translation_run(made_once: Callable[..., Path], tiny_pairs: Path) -> Path:
    """The folder of a finished run; `stopped` beside it is that run after its first epoch. Do not write there."""

    def train(folder: Path) -> None:
        words = ["train", "--data", str(tiny_pairs), *FLAGS.split(), "--out", str(folder / "run"), "--debug"]
        with kept_as_stopped(folder / "stopped", lambda trainer: trainer.progress.step == 80):
            assert main(APPLICATION, words) == 0

    return made_once("tiny-translation-run", train) / "run"


@pytest.fixture(scope="session")
def tiny_flags() -> list[str]:
    """The settings of that run, as words of a command line."""
    return FLAGS.split()


@pytest.fixture(scope="session")
def tiny_translator(tiny_translation_run: Path):
    """The serving module of that run."""
    from recur.training.loading import load
    from recur.training.runs import Run

    return APPLICATION.task.serving_module(load(APPLICATION, Run(tiny_translation_run)))

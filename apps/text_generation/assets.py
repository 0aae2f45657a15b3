"""The characters that the model knows."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

from recur.files import read_json, write_json

FILE = "vocabulary.json"
UNKNOWN = 0
UNKNOWN_CHARACTER = "\ufffd"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The characters of the train text, by code point; symbol 0 is any other character.

    Attributes:
        characters: Symbol `i + 1` is `characters[i]`.
    """

    characters: str

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `vocabulary.json`."""
        return cls("".join(read_json(folder / FILE)["characters"]))

    def write(self, folder: Path) -> None:
        """Writes `vocabulary.json`."""
        write_json(folder / FILE, {"characters": self.characters})

    @classmethod
    def fit(cls, text: str) -> Self:
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

"""What is fitted beside the model: the subwords."""

import dataclasses
from pathlib import Path

from recur.text.subwords import SubwordTokenizer


@dataclasses.dataclass(frozen=True)
class TranslationAssets:
    """Fitted on train.

    Attributes:
        subwords: Of both languages.
    """

    subwords: SubwordTokenizer

    def write(self, folder: Path) -> None:
        """Writes `subwords.model`."""
        self.subwords.write(folder)

    @classmethod
    def read(cls, folder: Path) -> "TranslationAssets":
        """Reads it."""
        return cls(SubwordTokenizer.read(folder))

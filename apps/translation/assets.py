"""What is fitted beside the model: the subwords."""

import dataclasses
from pathlib import Path

from shared.errors import InputError
from shared.runs import atomically
from shared.subwords import SubwordTokenizer

FILE = "subwords.model"


@dataclasses.dataclass(frozen=True)
class TranslationAssets:
    """Fitted on train.

    Attributes:
        subwords: Of both languages.
    """

    subwords: SubwordTokenizer

    def write(self, folder: Path) -> None:
        """Writes `subwords.model`, which SentencePiece's own tools open too."""
        with atomically(folder / FILE) as temporary:
            temporary.write_bytes(self.subwords.model)

    @classmethod
    def read(cls, folder: Path) -> "TranslationAssets":
        """Reads it.

        Raises:
            InputError: The file is not there, or damaged.
        """
        try:
            return cls(SubwordTokenizer((folder / FILE).read_bytes()))
        except (OSError, RuntimeError) as error:
            raise InputError(f"{folder / FILE} cannot be read ({error}); copy the whole folder of the run") from None

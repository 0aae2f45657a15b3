"""What is fitted beside the model: the words of captions."""

import dataclasses
from pathlib import Path

from apps.image_captioning.captions import CaptionVocabulary
from recur.files import atomically

WORDS_FILE = "words.txt"


@dataclasses.dataclass(frozen=True)
class CaptioningAssets:
    """Fitted on train.

    Attributes:
        vocabulary: The words that the model can say.
    """

    vocabulary: CaptionVocabulary

    def write(self, folder: Path) -> None:
        """Writes `words.txt`, a word a line by falling frequency."""
        with atomically(folder / WORDS_FILE) as temporary:
            temporary.write_text("".join(f"{word}\n" for word in self.vocabulary.words), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "CaptioningAssets":
        """Reads it.

        Raises:
            ValueError: It is cut short, or no list of words.
        """
        text = (folder / WORDS_FILE).read_text(encoding="utf-8")
        if not text.endswith("\n"):
            raise ValueError(f"{WORDS_FILE} is empty or cut short")
        return cls(CaptionVocabulary(text.removesuffix("\n").split("\n")))

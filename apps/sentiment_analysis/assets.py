"""What is fitted beside the model: vocabulary, names of the classes, temperature."""

import dataclasses
from pathlib import Path

from apps.sentiment_analysis.subwords import ReviewSubwords
from recur import files
from recur.text.subwords import SUBWORDS_FILE, SubwordTokenizer
from recur.text.words import WordVocabulary


@dataclasses.dataclass(frozen=True)
class SentimentAssets:
    """Fitted on train, the temperature on validation.

    Attributes:
        vocabulary: The words, or subwords.
        labels: Names of the classes; of two, the last is the positive one.
        temperature: By which logits are divided before they become probabilities (Guo et al. 2017).
    """

    vocabulary: WordVocabulary | ReviewSubwords
    labels: tuple[str, ...]
    temperature: float = 1.0

    def write(self, folder: Path) -> None:
        """Writes `vocabulary.json` or `subwords.model`, and `labels.json`."""
        if isinstance(self.vocabulary, ReviewSubwords):
            self.vocabulary.tokenizer.write(folder)
        else:
            files.write_json(folder / "vocabulary.json", {"words": self.vocabulary.words})
        files.write_json(folder / "labels.json", {"labels": list(self.labels)})

    @classmethod
    def read(cls, folder: Path) -> "SentimentAssets":
        """Reads them, and `temperature.json`, which is written when training has ended."""
        temperature = folder / "temperature.json"
        return cls(
            read_vocabulary(folder),
            tuple(files.read_json(folder / "labels.json")["labels"]),
            float(files.read_json(temperature)["temperature"]) if temperature.exists() else 1.0,
        )


def read_vocabulary(folder: Path) -> WordVocabulary | ReviewSubwords:
    """What a folder of assets has: words or subwords."""
    if (folder / SUBWORDS_FILE).exists():
        return ReviewSubwords(SubwordTokenizer.read(folder))
    return WordVocabulary(files.read_json(folder / "vocabulary.json")["words"])

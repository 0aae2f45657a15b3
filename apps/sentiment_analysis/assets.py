"""What is fitted beside the model: vocabulary, names of the classes, temperature."""

import dataclasses
from pathlib import Path

from shared import runs
from shared.text import WordVocabulary


@dataclasses.dataclass(frozen=True)
class SentimentAssets:
    """Fitted on train, the temperature on validation.

    Attributes:
        vocabulary: The words.
        labels: Names of the classes; of two, the last is the positive one.
        temperature: By which logits are divided before they become probabilities (Guo et al. 2017).
    """

    vocabulary: WordVocabulary
    labels: tuple[str, ...]
    temperature: float = 1.0

    def write(self, folder: Path) -> None:
        """Writes `vocabulary.json` and `labels.json`."""
        runs.write_json(folder / "vocabulary.json", {"words": self.vocabulary.words})
        runs.write_json(folder / "labels.json", {"labels": list(self.labels)})

    @classmethod
    def read(cls, folder: Path) -> "SentimentAssets":
        """Reads them, and `temperature.json`, which is written when training has ended."""
        temperature = folder / "temperature.json"
        return cls(
            WordVocabulary(runs.read_json(folder / "vocabulary.json")["words"]),
            tuple(runs.read_json(folder / "labels.json")["labels"]),
            float(runs.read_json(temperature)["temperature"]) if temperature.exists() else 1.0,
        )

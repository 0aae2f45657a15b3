"""What is fitted beside the model: vocabulary, names of the classes, temperature."""

import dataclasses
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import tensorflow as tf
import tqdm

from apps.sentiment_analysis.config import SentimentConfig
from recur.data import sources
from recur.data.caches import cached_arrays
from recur.files import read_json, write_json
from recur.text.subwords import SPACE, SUBWORDS_FILE, SubwordTokenizer
from recur.text.words import WordVocabulary, count_words, normalise

VOCABULARY_FILE, LABELS_FILE, TEMPERATURE_FILE = "vocabulary.json", "labels.json", "temperature.json"
LEARNT_FROM = 20_000  # reviews, at most: more make no better pieces and take minutes
ENCODING = "words-1"
"""Name of what `recur.text.words` makes of a text; another one makes cached ids worthless."""


class ReviewSubwords(tf.Module):
    """SentencePiece's subwords of texts that are normalised; what `WordVocabulary` is for words.

    Args:
        tokenizer: Fitted on normalised texts.
    """

    def __init__(self, tokenizer: SubwordTokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    @classmethod
    def fit(cls, texts: Sequence[bytes], size: int) -> Self:
        """Learns pieces from raw texts of the train part; `size` at most, special ids included."""
        some = texts if len(texts) <= LEARNT_FROM else random.Random(0).sample(texts, LEARNT_FROM)
        batches = tf.data.Dataset.from_tensor_slices(list(some)).batch(256).map(normalise)
        plain = (text.decode() for batch in batches.as_numpy_iterator() for text in batch)
        return cls(SubwordTokenizer.fit(plain, size))

    @property
    def fingerprint(self) -> str:
        """Tells one from another."""
        return sources.fingerprint([self.tokenizer.model])

    def __len__(self) -> int:
        """Ids, the special ones included."""
        return len(self.tokenizer)

    def encode_with_surfaces(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Ids int32 [N, None] of raw texts [N], and the part of the text that each stands for, none empty."""
        ids, surfaces = self.tokenizer.encode_with_surfaces(normalise(text))
        return ids, surfaces.with_flat_values(tf.where(surfaces.flat_values == "", SPACE, surfaces.flat_values))


Vocabulary = WordVocabulary | ReviewSubwords


@dataclasses.dataclass(frozen=True)
class SentimentAssets:
    """Fitted on train, the temperature on validation.

    Attributes:
        vocabulary: The words, or subwords.
        labels: Names of the classes; of two, the last is the positive one.
        temperature: By which logits are divided before they become probabilities (Guo et al. 2017); 1 until it is
            fitted, when training has ended.
    """

    vocabulary: Vocabulary
    labels: tuple[str, ...]
    temperature: float = 1.0

    @classmethod
    def fit(cls, texts: Sequence[bytes], labels: tuple[str, ...], config: SentimentConfig) -> Self:
        """The most frequent words of raw texts, or subwords that are learnt from them."""
        if config.tokens == "subwords":
            return cls(ReviewSubwords.fit(texts, config.vocabulary_size), labels)
        return cls(WordVocabulary.fit(count_words(texts), config.vocabulary_size, minimum_count=2), labels)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads what `write` wrote; of runs that earlier versions have not finished, there is no temperature."""
        temperature = folder / TEMPERATURE_FILE
        return cls(
            ReviewSubwords(SubwordTokenizer.read(folder))
            if (folder / SUBWORDS_FILE).exists()
            else WordVocabulary(read_json(folder / VOCABULARY_FILE)["words"]),
            tuple(read_json(folder / LABELS_FILE)["labels"]),
            float(read_json(temperature)["temperature"]) if temperature.exists() else 1.0,
        )

    def write(self, folder: Path) -> None:
        """Writes `vocabulary.json` or `subwords.model`, `labels.json` and `temperature.json`."""
        if isinstance(self.vocabulary, ReviewSubwords):
            self.vocabulary.tokenizer.write(folder)
        else:
            write_json(folder / VOCABULARY_FILE, {"words": self.vocabulary.words})
        write_json(folder / LABELS_FILE, {"labels": list(self.labels)})
        write_json(folder / TEMPERATURE_FILE, {"temperature": self.temperature})


def encode_all(texts: Sequence[bytes], vocabulary: Vocabulary, batch_size: int = 256) -> list[np.ndarray]:
    """Ids of the words of raw texts, computed once for the same texts and vocabulary.

    Args:
        texts: As found.
        vocabulary: Fitted on train.
        batch_size: Texts that are encoded together.

    Returns:
        An int32 array [words] a text; one without words is empty.
    """

    def compute() -> dict[str, np.ndarray]:
        batches = tf.data.Dataset.from_tensor_slices(list(texts)).batch(batch_size)
        ids, lengths = [], []
        with tqdm.tqdm(total=len(texts), desc="encoding", unit="review", delay=2, leave=False, disable=None) as bar:
            for some_ids, some_lengths in _encoded(batches, vocabulary):
                ids.append(some_ids)
                lengths.append(some_lengths)
                bar.update(len(some_lengths))
        return {"ids": np.concatenate(ids), "lengths": np.concatenate(lengths)}

    if not texts:
        return []
    stored = cached_arrays(f"{ENCODING}-{sources.fingerprint(texts)}-{vocabulary.fingerprint}", compute)
    return np.split(stored["ids"], np.cumsum(stored["lengths"])[:-1])


def _encoded(batches: tf.data.Dataset, vocabulary: Vocabulary) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each batch of raw texts, the ids of all its words and how many words each text has."""
    if isinstance(vocabulary, ReviewSubwords):
        # Not by the graph's tokenizer, whose resource TensorFlow forgets whenever a seed is set.
        for texts in batches.map(normalise, tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator():
            rows = vocabulary.tokenizer.encode_all([text.decode() for text in texts])
            yield np.concatenate([np.zeros(0, np.int32), *rows]), np.array([len(row) for row in rows])
    else:

        def encode(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            ids = vocabulary.encode(texts)
            return ids.flat_values, ids.row_lengths()

        yield from batches.map(encode, tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator()

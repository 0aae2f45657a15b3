"""Subwords of reviews, in the place of a vocabulary of words."""

import random
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from recur.data import sources
from recur.text.subwords import SPACE, SubwordTokenizer
from recur.text.words import normalise

LEARNT_FROM = 20_000  # reviews, at most: more make no better pieces and take minutes


class ReviewSubwords(tf.Module):
    """SentencePiece's subwords of texts that are normalised; what `WordVocabulary` is for words.

    Args:
        tokenizer: Fitted on normalised texts.
    """

    def __init__(self, tokenizer: SubwordTokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    @classmethod
    def fit(cls, texts: Sequence[bytes], size: int) -> "ReviewSubwords":
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

    def encode_batches(self, batches: tf.data.Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Ids of batches of raw texts: int32 [ids] and lengths [N].

        It does without the graph's tokenizer, whose resource TensorFlow forgets whenever a seed is set.
        """
        for texts in batches.map(normalise, tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator():
            ids = self.tokenizer.encode_all([text.decode() for text in texts])
            yield np.concatenate([np.zeros(0, np.int32), *ids]), np.array([len(row) for row in ids])

    def encode_with_surfaces(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Ids int32 [N, None] of raw texts [N], and the part of the text that each stands for, none empty."""
        ids, surfaces = self.tokenizer.encode_with_surfaces(normalise(text))
        return ids, surfaces.with_flat_values(tf.where(surfaces.flat_values == "", SPACE, surfaces.flat_values))

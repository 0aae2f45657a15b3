"""What is fitted beside the model: the words of captions, their ids, and the way back to text in the graph."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import tensorflow as tf

from apps.image_captioning.data import caption_words, plain_caption
from recur.files import atomically
from recur.text.subwords import BEGIN, END
from recur.text.words import SPECIAL, WordVocabulary

FILE = "words.txt"
MARKS = ("<begin>", "<end>")
"""In the order of their ids, `BEGIN` and `END`; no caption has such a word, since punctuation is dropped."""
FIRST = SPECIAL + len(MARKS)
"""Id of the most frequent word."""
MOST_WORDS = 50_000


class CaptionVocabulary(tf.Module):
    """Words of captions by falling frequency, after the ids of padding, unknown words, begin and end.

    A module that has one as an attribute takes it along into a SavedModel, with no file beside it.

    Args:
        words: Each once, by falling frequency; id `i + 4` is `words[i]`. They are all there is to save.

    Raises:
        ValueError: A word is empty or stands twice.
    """

    def __init__(self, words: Iterable[str]):
        super().__init__()
        self._vocabulary = WordVocabulary([*MARKS, *words])
        if self._vocabulary.words[BEGIN - SPECIAL : FIRST - SPECIAL] != list(MARKS):
            raise ValueError(f"the marks {MARKS} do not have the ids {BEGIN} and {END}")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `words.txt`.

        Raises:
            ValueError: It is cut short, or no list of words.
        """
        text = (folder / FILE).read_text(encoding="utf-8")
        if not text.endswith("\n"):
            raise ValueError(f"{FILE} is empty or cut short")
        return cls(text.removesuffix("\n").split("\n"))

    def write(self, folder: Path) -> None:
        """Writes `words.txt`, a word a line by falling frequency."""
        with atomically(folder / FILE) as temporary:
            temporary.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    @classmethod
    def fit(cls, captions: Iterable[str], minimum_count: int = 5) -> Self:
        """The words of the captions of a train part.

        Args:
            captions: As found.
            minimum_count: Occurrences that a word must have. Xu et al. (2015) take the 10,000 most frequent words;
                Karpathy and Vinyals et al. (2015) those seen at least five times.
        """
        counts = Counter(word for caption in captions for word in caption_words(caption))
        return cls(WordVocabulary.fit(counts, MOST_WORDS, minimum_count).words)

    @property
    def words(self) -> list[str]:
        """The words, in the order of their ids."""
        return self._vocabulary.words[len(MARKS) :]

    def __len__(self) -> int:
        """Ids, those that are no word included."""
        return len(self._vocabulary)

    def encode(self, captions: Sequence[str]) -> list[np.ndarray]:
        """Ids of the words of captions as found.

        Returns:
            An int32 array [words] a caption, without begin and end; unknown words are 1.
        """
        if not captions:
            return []
        ids = self._vocabulary.lookup(tf.strings.split([plain_caption(caption) for caption in captions]))
        return np.split(ids.flat_values.numpy(), ids.row_splits.numpy()[1:-1])

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Captions, in the graph: words with blanks between, up to the end.

        Args:
            ids: int32 [..., words]; padding, unknown words and begin are left out.

        Returns:
            string [...].
        """
        shape = tf.shape(ids)
        ids = tf.reshape(ids, [-1, shape[-1]])
        ended = tf.cumsum(tf.cast(ids == END, tf.int32), axis=1) > 0
        names = tf.constant(["", "", *self._vocabulary.words])
        words = tf.ragged.boolean_mask(tf.gather(names, ids), (ids >= FIRST) & ~ended)
        return tf.reshape(tf.strings.reduce_join(words, axis=1, separator=" "), shape[:-1])

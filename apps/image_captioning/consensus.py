"""CIDEr between captions, thousands at a time: vectors of n-grams weighted by how few images have them.

It serves what asks for many scores on weights fixed by the train part: the consensus of a retrieval, and the reward of
self-critical training. What `evaluate` reports is the scorer of the COCO evaluation, which takes its weights from the
references it is given; with the same ones the two agree.

Source:
    Vedantam, R., Zitnick, C. L. & Parikh, D. (2015), "CIDEr: Consensus-based Image Description Evaluation", CVPR.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import scipy.sparse

from apps.image_captioning.captions import caption_words

ORDERS, SIGMA, SCALE = 4, 6.0, 10.0
"""N-grams, width of the penalty for another length, and factor of CIDEr-D: those of its authors."""

Gram = tuple[str, ...]


class CiderSpace:
    """Vectors of captions, whose weights are fixed by the images of a train part.

    An n-gram that no train image has weighs as much as one of a single image.

    Args:
        captions: Of each image, as found.
        split: From a caption to its words.

    Raises:
        ValueError: There is no image.
    """

    def __init__(self, captions: Iterable[Sequence[str]], split: Callable[[str], list[str]] = caption_words):
        self._split = split
        images = [[split(caption) for caption in each] for each in captions]
        if not images:
            raise ValueError("need the captions of one image at least")
        self._log_images = np.log(len(images))
        self._ids: list[dict[Gram, int]] = []
        self._weights: list[np.ndarray] = []
        for order in range(1, ORDERS + 1):
            frequencies = Counter(gram for each in images for gram in {gram for w in each for gram in grams(w, order)})
            self._ids.append({gram: number for number, gram in enumerate(frequencies)})
            self._weights.append(self._log_images - np.log(list(frequencies.values())))

    def units(self, captions: Sequence[str]) -> scipy.sparse.csr_array:
        """Rows whose products are CIDEr: the mean over orders of the cosine of two captions.

        Args:
            captions: As found.

        Returns:
            float64 [captions, n-grams], comparable with one another alone. Rows have length 1, but for captions of
            fewer than four words and those whose n-grams every image has.
        """
        words = [self._split(caption) for caption in captions]
        blocks = []
        for order in range(1, ORDERS + 1):
            weights = self._vectors(words, order)
            blocks.append(scipy.sparse.diags_array(1 / _norms(weights)) @ weights)
        return (scipy.sparse.hstack(blocks) / np.sqrt(ORDERS)).tocsr()

    def cider_d(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """CIDEr-D of each caption, from 0 to 10.

        Args:
            hypotheses: Captions.
            references: Of each one or more.

        Returns:
            float64 [hypotheses].

        Raises:
            ValueError: A hypothesis has no reference, or there are not as many.
        """
        counts = np.array([len(each) for each in references], np.int64)
        if len(hypotheses) != len(counts) or (counts == 0).any():
            raise ValueError(f"need references for each of {len(hypotheses)} captions, got {counts.tolist()}")
        words = [self._split(text) for text in (*hypotheses, *(text for each in references for text in each))]
        left = np.repeat(np.arange(len(counts)), counts)
        right = len(counts) + np.arange(counts.sum())
        total = np.zeros(len(right))
        for order in range(1, ORDERS + 1):
            weights = self._vectors(words, order)
            norms = _norms(weights)
            clipped = weights[left].minimum(weights[right]).multiply(weights[right]).sum(axis=1)
            total += clipped / (norms[left] * norms[right])
        # Pairs of neighbouring words, which the scorer of the COCO evaluation takes for the length.
        lengths = np.array([max(0, len(each) - 1) for each in words])
        total *= np.exp(-((lengths[left] - lengths[right]) ** 2) / (2 * SIGMA**2)) / ORDERS
        return SCALE * np.bincount(left, total, len(counts)) / counts

    def _vectors(self, words: Sequence[Sequence[str]], order: int) -> scipy.sparse.csr_array:
        """Counts of n-grams times their weights: float64 [captions, n-grams]."""
        known, new = self._ids[order - 1], {}
        rows = [
            [known[gram] if gram in known else new.setdefault(gram, len(known) + len(new)) for gram in grams(w, order)]
            for w in words
        ]
        columns = np.array([gram for row in rows for gram in row], np.int64)
        begins = np.cumsum([0, *map(len, rows)])
        weights = np.concatenate([self._weights[order - 1], np.full(len(new), self._log_images)])
        found = scipy.sparse.csr_array((weights[columns], columns, begins), shape=(len(rows), len(weights)))
        found.sum_duplicates()
        return found


def grams(words: Sequence[str], order: int) -> Iterable[Gram]:
    """Each run of so many neighbouring words."""
    return zip(*(words[offset:] for offset in range(order)), strict=False)


def _norms(weights: scipy.sparse.csr_array) -> np.ndarray:
    """Lengths of rows, 1 where there is nothing."""
    norms = np.sqrt(weights.multiply(weights).sum(axis=1))
    return np.where(norms > 0, norms, 1.0)

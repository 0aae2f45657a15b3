"""What a written caption is worth to self-critical training."""

from collections.abc import Sequence

import numpy as np

from apps.image_captioning.captions import FIRST, CaptionVocabulary, plain_caption
from apps.image_captioning.consensus import CiderSpace
from recur.text.subwords import END

ENDING = "<end>"


class CaptionReward:
    """CIDEr-D of captions that are ids, with n-grams weighted by the train part.

    The end of a caption counts as a word, in the references too. Otherwise a caption that stops after "with a" loses
    nothing, and models learn to stop there (Rennie et al. 2017, section 5 of the supplement).

    Args:
        vocabulary: Of the ids.
        train: The captions of each train image.
    """

    def __init__(self, vocabulary: CaptionVocabulary, train: Sequence[Sequence[str]]):
        self._names = np.array(["", "", "", ENDING, *vocabulary.words])
        self._space = CiderSpace(with_endings(train), str.split)

    def __call__(self, written: np.ndarray, references: Sequence[Sequence[str]]) -> np.ndarray:
        """CIDEr-D, from 0 to 10.

        Args:
            written: int32 [captions, steps], the end where it was reached and padding after it.
            references: Of each caption, as `with_endings` gives them.

        Returns:
            float32 [captions].
        """
        captions = [" ".join(self._names[row[(row >= FIRST) | (row == END)]]) for row in written]
        return self._space.cider_d(captions, references).astype(np.float32)


def with_endings(captions: Sequence[Sequence[str]]) -> list[list[str]]:
    """The captions of each image as words, with the word that ends them."""
    return [[f"{plain_caption(caption)} {ENDING}" for caption in each] for each in captions]

"""What needs no decoder: one caption for all images, and captions of train images that look alike."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse

from apps.image_captioning.data import plain_caption
from apps.image_captioning.metrics import CiderSpace

NEIGHBOURS = (1, 5, 15, 30, 60, 100)
"""Numbers of train images that the choice is among."""
AGREEING = 125
"""Captions that the best one is to agree with at most (Devlin et al., section 3.2)."""


def most_frequent_caption(captions: Sequence[Sequence[str]]) -> str:
    """The caption that most train images have word by word; of several, the one that is most like all captions.

    Args:
        captions: Of each train image, as found.

    Raises:
        ValueError: There is none.
    """
    counts = Counter(text for texts in captions for text in sorted({*map(plain_caption, texts)}))
    if not counts:
        raise ValueError("need one caption at least")
    most = max(counts.values())
    first = sorted(text for text, count in counts.items() if count == most)
    return _most_typical(captions, first)


def _most_typical(captions: Sequence[Sequence[str]], texts: Sequence[str]) -> str:
    """The text of the highest mean CIDEr to captions; of several, the first."""
    everything = list(itertools.chain.from_iterable(captions))
    units = CiderSpace(captions).units([*texts, *everything])
    return texts[int(np.argmax(units[: len(texts)] @ units[len(texts) :].mean(axis=0)))]


class Retrieval(NamedTuple):
    """Gives an image the caption of a train image that agrees best with those of all its nearest neighbours.

    Attributes:
        features: float32 [train images, width], of length 1.
        captions: Of each train image.
        units: float64 [captions of all train images, n-grams], sparse rows whose products are their CIDEr.
        neighbours: How many images are asked for their captions.
    """

    features: np.ndarray
    captions: Sequence[Sequence[str]]
    units: scipy.sparse.csr_array
    neighbours: int

    def retrieve(self, features: np.ndarray) -> list[str]:
        """Captions of images.

        Args:
            features: float32 [images, width], as those of train.

        Raises:
            ValueError: They have another width.
        """
        if features.ndim != 2 or features.shape[1] != self.features.shape[1]:
            raise ValueError(f"need features [images, {self.features.shape[1]}], got {list(features.shape)}")
        texts = list(itertools.chain.from_iterable(self.captions))
        ends = np.cumsum([0, *map(len, self.captions)])
        chosen = []
        for near in nearest(self.features, features, self.neighbours):
            rows = np.concatenate([np.arange(ends[image], ends[image + 1]) for image in near])
            candidates = self.units[rows]
            agreement = (candidates @ candidates.T).toarray()
            if (least := len(rows) - AGREEING) > 0:
                # A caption need not suit those neighbours that mislead.
                agreement = np.partition(agreement, least, axis=1)[:, least:]
            chosen.append(plain_caption(texts[rows[int(np.argmax(agreement.sum(axis=1)))]]))
        return chosen


def fit_retrieval(
    features: np.ndarray,
    captions: Sequence[Sequence[str]],
    validation_features: np.ndarray,
    validation_captions: Sequence[Sequence[str]],
    most: int = 300,
) -> Retrieval:
    """A retrieval with the number of neighbours that suits the validation part best, by CIDEr-D.

    Args:
        features: float32 [train images, width], mean-pooled say.
        captions: Of each train image, one or more.
        validation_features: float32 [validation images, width].
        validation_captions: Of each validation image.
        most: Validation images that are looked at.

    Raises:
        ValueError: There is no train image, or features and captions do not fit.

    Source:
        Devlin, J. et al. (2015), "Exploring Nearest Neighbor Approaches for Image Captioning", arXiv:1505.04467: there
        60 to 120 neighbours among the 82,783 images of COCO.
    """
    if not len(features) or len(features) != len(captions) or not all(captions):
        raise ValueError(f"need captions for each of {len(features)} train images, got {len(captions)}")
    if len(validation_features) != len(validation_captions):
        raise ValueError(f"{len(validation_features)} images and captions of {len(validation_captions)} do not fit")
    space = CiderSpace(captions)
    candidates = [number for number in NEIGHBOURS if number <= len(features)]
    units = space.units(list(itertools.chain.from_iterable(captions)))
    retrievals = [Retrieval(unit_length(features), captions, units, number) for number in candidates]
    if not len(validation_features):
        return retrievals[-1]

    def score(retrieval: Retrieval) -> float:
        return float(space.cider_d(retrieval.retrieve(validation_features[:most]), validation_captions[:most]).mean())

    return max(retrievals, key=score)


def nearest(train: np.ndarray, features: np.ndarray, count: int) -> np.ndarray:
    """The train images of the highest cosine, the nearest first; of equally near ones, the first.

    Args:
        train: float32 [train images, width], of length 1.
        features: float32 [images, width].
        count: At most as many as there are train images.

    Returns:
        int [images, count].
    """
    return np.argsort(-(unit_length(features) @ train.T), axis=1, kind="stable")[:, :count]


def unit_length(features: np.ndarray) -> np.ndarray:
    """Rows of length 1, or 0 where all is zero: float32 [images, width]."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.where(norms > 0, norms, 1)).astype(np.float32)

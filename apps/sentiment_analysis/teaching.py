"""Classes for the reviews that have none, from models of another kind.

Sources:
    Blum, A. and Mitchell, T. (1998), "Combining Labeled and Unlabeled Data with Co-Training", COLT: two views of the
    same examples, of which one labels what the other learns from.
    Hinton, G., Vinyals, O. and Dean, J. (2015), "Distilling the Knowledge in a Neural Network", arXiv:1503.02531: a
    teacher's probabilities say more than its answers.
"""

import logging

import numpy as np

from apps.sentiment_analysis.baselines import fit_nbsvm, fit_tfidf
from apps.sentiment_analysis.data import Corpus
from recur.data.caches import cached_arrays

logger = logging.getLogger(__name__)


TEACHERS = (fit_tfidf, fit_nbsvm)


def teacher_probabilities(corpus: Corpus) -> np.ndarray:
    """What the linear models of word pairs, fitted on train alone, take the unlabelled reviews for.

    Computed once for the same corpus.

    Returns:
        float32 [unlabelled, classes], the mean of their probabilities; rows add up to one.
    """
    classes = len(corpus.labels)
    if not corpus.unlabelled:
        logger.info(f"{corpus.source} has no reviews without a class: there is nothing for a teacher to label")
        return np.zeros((0, classes), np.float32)

    def compute() -> dict[str, np.ndarray]:
        logger.info(f"linear models learn from train and label {len(corpus.unlabelled):,} reviews without a class")
        teachers = [fit(corpus.train.texts, corpus.train.labels, classes=classes) for fit in TEACHERS]
        found = np.mean([teacher.probabilities(corpus.unlabelled) for teacher in teachers], axis=0)
        return {"probabilities": found.astype(np.float32)}

    return cached_arrays(f"taught-1-{corpus.fingerprint}", compute)["probabilities"]

"""Batches of sentence pairs by their number of tokens."""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from apps.translation.config import TranslationConfig
from apps.translation.data import Corpus, Pairs
from recur.data.batches import batches_of_tokens, padded
from recur.data.pipeline import endless, in_order, once
from recur.text.subwords import BEGIN, END, SubwordTokenizer
from recur.training.task import Datasets

Encoded = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]
Batch = tuple[dict[str, np.ndarray], np.ndarray]

_TEXT = tf.TensorSpec([None, None], tf.int32)
_SIGNATURE = ({"source": _TEXT, "target": _TEXT}, tf.TensorSpec([None], tf.int32))


def datasets(corpus: Corpus, assets: SubwordTokenizer, config: TranslationConfig) -> Datasets:
    """Train in batches of so many tokens, another order and other subwords each pass; validation once, by length.

    Pairs with a side of more than `longest` subwords are in neither.
    """
    train, validation = encoded(corpus.train, assets), encoded(corpus.validation, assets)
    lengths, kept = side_lengths(train), short_enough(train, config.longest)

    def seed(turn: int) -> int:
        return config.seed + 10_007 * turn

    @functools.lru_cache(maxsize=1)
    def sides(turn: int) -> Encoded:
        if not config.subword_sampling:
            return train
        return (
            assets.sample_all(corpus.train.sources, config.subword_sampling, seed(turn)),
            assets.sample_all(corpus.train.targets, config.subword_sampling, seed(turn) + 1),
        )

    def plan(turn: int) -> list[np.ndarray]:
        batches = batches_of_tokens(lengths[kept], config.batch_tokens, config.batch_size, seed(turn))
        return [kept[rows] for rows in batches]

    steps = len(plan(0))
    chosen = short_enough(validation, config.longest)
    validation_lengths = side_lengths(validation)[chosen]
    rows = min(config.batch_size, max(config.batch_tokens // int(validation_lengths.max()), 1))
    by_length = chosen[np.lexsort(validation_lengths.T)]
    return Datasets(
        train=endless(plan, lambda rows, step: batch(sides(step // steps), rows), _SIGNATURE),
        steps_per_pass=steps,
        validation=once(in_order(by_length, rows), lambda rows: batch(validation, rows), _SIGNATURE),
    )


def encoded(pairs: Pairs, subwords: SubwordTokenizer) -> Encoded:
    """Ids of both sides, without marks."""
    return subwords.encode_all(pairs.sources), subwords.encode_all(pairs.targets)


def side_lengths(pairs: Encoded) -> np.ndarray:
    """The number of ids of each source and its target, marks included: int [pairs, 2]."""
    return np.array([[len(source) + 1, len(target) + 1] for source, target in zip(*pairs, strict=True)])


def short_enough(pairs: Encoded, longest: int) -> np.ndarray:
    """Which pairs have at most so many ids a side, marks not counted: indices, int [kept]."""
    return np.flatnonzero(side_lengths(pairs).max(axis=1) <= longest + 1)


def batch(pairs: Encoded, rows: Sequence[int] | np.ndarray) -> Batch:
    """Pairs as the model reads them.

    Args:
        pairs: Ids of sources and of targets, without marks.
        rows: Which pairs.

    Returns:
        `source` and `target` int32 [pairs, …], with the end and the begin; and what comes next, int32 [tokens], one
        sentence after the other.
    """
    sources, targets = ([side[row] for row in rows] for side in pairs)
    read = padded([np.insert(target, 0, BEGIN) for target in targets])
    wanted = np.concatenate([np.append(target, END) for target in targets]).astype(np.int32)
    return {"source": padded([np.append(source, END) for source in sources]), "target": read}, wanted

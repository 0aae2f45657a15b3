"""Batches of sentence pairs by their number of tokens."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from apps.translation.data import Corpus, Pairs
from recur.data.batches import batches_of_tokens, padded
from recur.text.subwords import BEGIN, END, SubwordTokenizer
from recur.training.task import Datasets

if TYPE_CHECKING:
    from apps.translation.application import TranslationConfig

Encoded = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]
Batch = tuple[dict[str, np.ndarray], np.ndarray]

_TEXT = tf.TensorSpec([None, None], tf.int32)
_SIGNATURE = ({"source": _TEXT, "target": _TEXT}, tf.TensorSpec([None], tf.int32))


def translation_datasets(corpus: Corpus, subwords: SubwordTokenizer, config: "TranslationConfig") -> Datasets:
    """Train in batches of so many tokens, another order and other subwords each pass; validation by length.

    Pairs with a side of more than `longest` subwords are in neither.
    """
    train, validation = encoded(corpus.train, subwords), encoded(corpus.validation, subwords)
    kept, lengths = short_enough(train, config.longest), side_lengths(train)
    chosen = short_enough(validation, config.longest)
    sampled = config.subword_sampling > 0

    def sides(turn: int) -> Encoded:
        if not sampled:
            return train
        seed = config.seed + 10_007 * turn
        return (
            subwords.sample_all(corpus.train.sources, config.subword_sampling, seed),
            subwords.sample_all(corpus.train.targets, config.subword_sampling, seed + 1),
        )

    def order(turn: int) -> list[np.ndarray]:
        seed = config.seed + 10_007 * turn
        return [kept[index] for index in batches_of_tokens(lengths[kept], config.batch_tokens, config.batch_size, seed)]

    return Datasets(
        train=lambda first: train_batches(sides, order, first),
        steps_per_pass=len(order(0)),
        validation=ordered_batches(tuple([side[i] for i in chosen] for side in validation), config),
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


def train_batches(
    sides: Callable[[int], Encoded], order: Callable[[int], list[np.ndarray]], first: int
) -> tf.data.Dataset:
    """Endless batches from a step on.

    Args:
        sides: From the number of a pass over the data to the ids of all pairs in it.
        order: From the same to the indices of the pairs of each batch, as many batches in every pass.
        first: Step of the first batch.
    """

    def batches() -> Iterator[Batch]:
        turn, skipped = divmod(first, len(order(0)))
        while True:
            sources, targets = sides(turn)
            for index in order(turn)[skipped:]:
                yield batch([sources[i] for i in index], [targets[i] for i in index])
            turn, skipped = turn + 1, 0

    return tf.data.Dataset.from_generator(batches, output_signature=_SIGNATURE).prefetch(4)


def ordered_batches(pairs: Encoded, config: "TranslationConfig") -> tf.data.Dataset:
    """All pairs once, sorted by length."""
    lengths = side_lengths(pairs)
    order = np.lexsort(lengths.T)
    rows = min(config.batch_size, max(config.batch_tokens // int(lengths.max()), 1))

    def batches() -> Iterator[Batch]:
        for begin in range(0, len(order), rows):
            index = order[begin : begin + rows]
            yield batch(*([side[i] for i in index] for side in pairs))

    dataset = tf.data.Dataset.from_generator(batches, output_signature=_SIGNATURE)
    return dataset.apply(tf.data.experimental.assert_cardinality(-(-len(order) // rows))).prefetch(4)


def batch(sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Batch:
    """Pairs as the model reads them.

    Returns:
        `source` and `target` int32 [pairs, …], with the end and the begin; and what comes next, int32 [tokens], one
        sentence after the other.
    """
    read = padded([np.insert(target, 0, BEGIN) for target in targets])
    wanted = np.concatenate([np.append(target, END) for target in targets]).astype(np.int32)
    return {"source": padded([np.append(source, END) for source in sources]), "target": read}, wanted

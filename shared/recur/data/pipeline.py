"""`tf.data` pipelines of batches that a generator makes: endless ones for training, finite ones for validation."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

PREFETCHED = 4


def endless(
    plan: Callable[[int], Sequence[np.ndarray]], make: Callable[[np.ndarray, int], Any], signature: Any
) -> Callable[[int], tf.data.Dataset]:
    """Endless batches that are a function of the step: a run that is resumed sees what it would have seen.

    Args:
        plan: From the number of a pass over the data, from 0, to the indices of the examples of each of its batches; as
            many batches in every pass, and the same whenever it is asked.
        make: From indices, and the number of the step, to a batch: a nested structure of arrays.
        signature: What a batch is: the same structure of `tf.TensorSpec`s.

    Returns:
        From a step to the endless batches from there on.

    Example:
        >>> batches = endless(lambda turn: [np.array([turn, 1]), np.array([turn, 2])], lambda rows, step: rows * step,
        ...                   tf.TensorSpec([2], tf.int64))
        >>> [batch.tolist() for batch in batches(1).take(2).as_numpy_iterator()]
        [[0, 2], [2, 2]]
    """

    def dataset(first: int) -> tf.data.Dataset:
        def batches() -> Iterator[Any]:
            step, steps = first, len(plan(0))
            while True:
                for rows in plan(step // steps)[step % steps :]:
                    yield make(rows, step)
                    step += 1

        return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(PREFETCHED)

    return dataset


def once(plan: Sequence[np.ndarray], make: Callable[[np.ndarray], Any], signature: Any) -> tf.data.Dataset:
    """Every batch of a plan once, in its order; the dataset knows how many there are.

    Args:
        plan: The indices of the examples of each batch.
        make: From indices to a batch: a nested structure of arrays.
        signature: What a batch is: the same structure of `tf.TensorSpec`s.
    """
    dataset = tf.data.Dataset.from_generator(lambda: map(make, plan), output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(plan))).prefetch(PREFETCHED)


def in_order(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Indices in their order, so many a batch; the last batch may have fewer.

    Example:
        >>> [batch.tolist() for batch in in_order(np.array([2, 0, 1]), 2)]
        [[2, 0], [1]]
    """
    return [order[begin : begin + size] for begin in range(0, len(order), size)]

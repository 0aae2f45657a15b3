"""Batches of sequences: of similar length, so that little of a batch is padding, and contiguous streams."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from recur.text.words import PADDING


def batches_of_similar_length(
    lengths: Sequence[int], batch_size: int, seed: int, batches_a_pool: int = 50
) -> list[np.ndarray]:
    """Divides the indices of sequences into batches whose lengths are close to one another, in random order.

    All sequences are shuffled and dealt into pools; each pool is sorted by length and cut into batches. Which sequences
    meet in a batch, and the order of the batches, change with the seed and with nothing else, so that a run that is
    resumed sees what it would have seen.

    Args:
        lengths: Length of every sequence.
        batch_size: How many sequences a batch has; those left over, fewer than a batch, are in none.
        seed: Of the shuffle: another for each pass over the data.
        batches_a_pool: More of them mean less padding, and batches that are less random.

    Returns:
        Index arrays [batch_size], `len(lengths) // batch_size` of them.

    Example:
        >>> sorted(sorted(batch.tolist()) for batch in batches_of_similar_length([1, 9, 2, 8], 2, seed=0))
        [[0, 2], [1, 3]]
    """
    steps = np.asarray(lengths)
    random = np.random.default_rng(seed)
    order = random.permutation(len(steps))
    order = order[: len(order) // batch_size * batch_size]
    pools = [
        order[begin : begin + batches_a_pool * batch_size]
        for begin in range(0, len(order), batches_a_pool * batch_size)
    ]
    batches = [
        batch for pool in pools for batch in pool[np.argsort(steps[pool], kind="stable")].reshape(-1, batch_size)
    ]
    return [batches[index] for index in random.permutation(len(batches))]


def batches_of_tokens(
    lengths: np.ndarray, tokens: int, most: int, seed: int, step: int = 8, batches_a_pool: int = 20
) -> list[np.ndarray]:
    """Divides the indices of pairs of sequences into batches of about as many tokens, in random order.

    A batch of pairs whose longer side has up to so many steps, a multiple of `step`, always has the same number of
    rows, since a compiled loop is compiled anew for each. Among those, pairs whose sides are of similar length are
    together. Pairs that are left over go to the next longer ones; those left at the end, fewer than a batch, are in
    none, unless there would be no batch at all. How many batches there are does not depend on the seed.

    Args:
        lengths: Of the two sides of every pair, int [pairs, 2].
        tokens: What rows times the longer side come to at most, padding included; one row at least.
        most: Rows at most.
        seed: Of the order: another for each pass over the data.
        step: To a multiple of which the longer side is rounded up.
        batches_a_pool: More of them mean less padding, and batches that are less random.

    Returns:
        Index arrays.

    Example:
        >>> lengths = np.array([[3, 1], [30, 9], [2, 4], [31, 8]])
        >>> sorted(sorted(batch.tolist()) for batch in batches_of_tokens(lengths, 64, 8, seed=0))
        [[0, 2], [1, 3]]
    """
    random = np.random.default_rng(seed)
    longest = -(-lengths.max(axis=1) // step) * step
    batches: list[np.ndarray] = []
    left = np.zeros(0, np.int64)
    for length in np.unique(longest):
        index = np.concatenate([left, random.permutation(np.flatnonzero(longest == length))])
        rows = min(max(tokens // int(length), 1), most)
        whole = len(index) // rows * rows
        for begin in range(0, whole, batches_a_pool * rows):
            pool = index[begin : min(begin + batches_a_pool * rows, whole)]
            batches += list(pool[np.lexsort(lengths[pool].T)].reshape(-1, rows))
        left = index[whole:]
    if not batches:
        return [left]
    return [batches[index] for index in random.permutation(len(batches))]


def padded(rows: Sequence[np.ndarray], multiple: int = 1) -> np.ndarray:
    """Rows of ids as one array, int32 [rows, longest], `PADDING` on the right.

    Args:
        rows: int32 [length] each; one at least.
        multiple: To which the longest length is rounded up.

    Example:
        >>> padded([np.array([5, 6, 7]), np.array([8])], multiple=2).tolist()
        [[5, 6, 7, 0], [8, 0, 0, 0]]
    """
    longest = -(-max(len(row) for row in rows) // multiple) * multiple
    batch = np.full((len(rows), longest), PADDING, np.int32)
    for target, row in zip(batch, rows, strict=True):
        target[: len(row)] = row
    return batch


def stream_batches(
    symbols: np.ndarray, streams: int, window: int, seed: int, restart: float = 0.0
) -> Callable[[int], tf.data.Dataset]:
    """Contiguous streams for truncated back-propagation through time.

    The text is cut into `streams` equal parts that are read side by side, a window at a time, so that the state at the
    end of a window is the right one for the next. Every pass begins at another offset into the text.

    Args:
        symbols: int32 [symbols].
        streams: Rows of a batch.
        window: Steps of a batch.
        seed: Seed of the offsets.
        restart: Probability that a stream goes on from a zero state, by which the model also learns to begin a text.

    Returns:
        From a step to the endless batches from there on: `{"symbols": [streams, window], "carry": [streams]}` and the
        targets [streams, window]. `carry` is 0 where a stream begins and 1 where it goes on.
    """
    text = tf.constant(symbols)
    steps = steps_in_pass(len(symbols), streams, window)
    starts = tf.range(streams, dtype=tf.int64)[:, None] * (len(symbols) // streams)
    places = starts + tf.range(window + 1, dtype=tf.int64)

    def batch(step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        turn, position = step // steps, step % steps
        offset = tf.random.stateless_uniform([], [seed, turn], 0, len(symbols), tf.int64)
        rows = tf.gather(text, (places + position * window + offset) % len(symbols))
        goes_on = (tf.random.stateless_uniform([streams], [seed, step]) >= restart) & (position > 0)
        return {"symbols": rows[:, :-1], "carry": tf.cast(goes_on, tf.float32)}, rows[:, 1:]

    return lambda first: tf.data.Dataset.range(first, np.iinfo(np.int64).max).map(batch).prefetch(2)


def validation_batches(symbols: np.ndarray, streams: int, window: int) -> tf.data.Dataset:
    """One pass over a text in contiguous streams, in order; the end that fills no window is left out."""
    steps = steps_in_pass(len(symbols), streams, window)
    length = len(symbols) // streams
    text = tf.constant(symbols[: length * streams].reshape(streams, length))

    def batch(step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        rows = text[:, step * window : (step + 1) * window + 1]
        rows = tf.ensure_shape(rows, [streams, window + 1])
        return {"symbols": rows[:, :-1], "carry": tf.fill([streams], tf.cast(step > 0, tf.float32))}, rows[:, 1:]

    return tf.data.Dataset.range(steps).map(batch).prefetch(2)


def steps_in_pass(symbols: int, streams: int, window: int) -> int:
    """Whole windows that `streams` contiguous streams of a text hold."""
    return (symbols // streams - 1) // window

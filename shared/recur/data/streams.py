"""Contiguous streams of symbols, for truncated back-propagation through time."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


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

"""Batches of characters: contiguous streams whose state is carried, or windows at random offsets."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from apps.text_generation.assets import Vocabulary
from apps.text_generation.config import TextGenerationConfig
from apps.text_generation.data import Corpus
from recur.data.batches import steps_in_pass, stream_batches, validation_batches
from recur.training.task import Datasets


def datasets(corpus: Corpus, assets: Vocabulary, config: TextGenerationConfig) -> Datasets:
    """Train in streams or windows, validation in streams."""
    train = assets.encode(corpus.train)
    shape = (config.batch_size, config.window, config.seed)
    if config.batching == "streams":
        batches = stream_batches(train, *shape, restart=config.restart)
    else:
        batches = window_batches(train, *shape)
    return Datasets(
        train=batches,
        steps_per_pass=steps_in_pass(len(train), config.batch_size, config.window),
        validation=validation_batches(assets.encode(corpus.validation), config.batch_size, config.window),
    )


def window_batches(symbols: np.ndarray, rows: int, window: int, seed: int) -> Callable[[int], tf.data.Dataset]:
    """Windows at random offsets, each beginning with a zero state; the alternative to `stream_batches`."""
    text = tf.constant(symbols)

    def batch(step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        starts = tf.random.stateless_uniform([rows, 1], [seed, step], 0, len(symbols) - window, tf.int64)
        windows = tf.gather(text, starts + tf.range(window + 1, dtype=tf.int64))
        return {"symbols": windows[:, :-1], "carry": tf.zeros([rows])}, windows[:, 1:]

    return lambda first: tf.data.Dataset.range(first, np.iinfo(np.int64).max).map(batch).prefetch(2)

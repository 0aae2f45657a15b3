"""What padding costs: training steps on sequences of IMDB's lengths, beside steps on full ones."""

import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.peers import review_lengths
from recur.data.batches import batches_of_similar_length
from recur.layers import LSTM

BATCH, LONGEST, UNITS, MULTIPLE = 32, 400, 256, 32


def cost(seconds: float, reviews: int = 1024) -> dict[str, float]:
    """Measures the mean training step on batches of similar length and on batches as they come, beside full ones.

    Args:
        seconds: How long to measure.
        reviews: How many lengths are drawn.

    Returns:
        Shares of a full step (`bucketed`, `unsorted`), and these divided by the share of real words.
    """
    lengths = review_lengths(reviews, LONGEST)
    sorted_batches = batches_of_similar_length(lengths, BATCH, seed=0)
    unsorted = np.random.default_rng(1).permutation(reviews).reshape(-1, BATCH)
    step = _training_step()
    inputs = tf.random.normal([BATCH, LONGEST, UNITS])

    def timed(batch):
        # Padded as a data pipeline would: to the longest of the batch, and that to a multiple.
        length = min(-(-lengths[batch].max() // MULTIPLE) * MULTIPLE, LONGEST)
        mask = tf.sequence_mask(lengths[batch], length)
        begin = time.perf_counter()
        step(inputs[:, :length], mask).numpy()
        return time.perf_counter() - begin

    groups = {"bucketed": sorted_batches, "unsorted": unsorted}
    full = np.arange(reviews)[np.argsort(-lengths)][:BATCH]
    for batch in (*sorted_batches, *unsorted, full):
        timed(batch)
    taken: dict[str, list[float]] = {"bucketed": [], "unsorted": [], "full": []}
    end = time.perf_counter() + seconds
    while not taken["full"] or time.perf_counter() < end:
        for name, batches in groups.items():
            taken[name].append(float(np.mean([timed(batch) for batch in batches])))
        taken["full"].append(float(np.median([timed(full) for _ in range(9)])))
    found = {name: float(np.median(np.array(taken[name]) / np.array(taken["full"]))) for name in groups}
    words = float(lengths.mean() / LONGEST)
    ratios = {f"{name}_ratio": value / words for name, value in found.items()}
    return {"longest": LONGEST, "real_tokens": words, **found, **ratios}


def _training_step():
    layer, dense = LSTM(UNITS, return_sequences=True), keras.layers.Dense(64)
    dense(layer(tf.zeros([BATCH, 2, UNITS])))
    variables = layer.trainable_variables + dense.trainable_variables
    optimizer = keras.optimizers.Adam()
    optimizer.build(variables)

    @tf.function(reduce_retracing=False)
    def step(x, mask):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(dense(layer(x, mask=mask, training=True)) ** 2)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step

"""Choosing the next symbol from logits: temperature, top-k, top-p, each row by its own settings and its own noise."""

import tensorflow as tf

HOTTEST = 1e6  # a temperature at which all symbols are alike; hotter ones would divide by infinity


def uniform_noise(seeds: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Random numbers that depend on a row's own seed alone, whatever else is in the batch.

    Args:
        seeds: int64 [batch].
        length: int32 scalar, numbers a row; a longer row begins with the numbers of a shorter one.

    Returns:
        float32 [batch, length] in [0, 1).
    """
    one_more = tf.concat([seeds, [0]], axis=0)  # an empty batch would leave nothing to stack
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([length], tf.stack([seed, 0])),
        one_more,
        fn_output_signature=tf.TensorSpec([None], tf.float32),
    )[:-1]


def sample(
    logits: tf.Tensor, noise: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor
) -> tf.Tensor:
    """Draws one symbol a row by inverting the cumulative distribution of the likeliest symbols.

    Values out of range take the nearest that is in range, because a served batch must not fail for one row's sake.

    Args:
        logits: float32 [batch, symbols].
        noise: float32 [batch] in [0, 1): the same noise gives the same symbol.
        temperature: float32 [batch]; divides the logits, 0 takes the likeliest symbol.
        top_k: int32 [batch]; the k likeliest symbols alone (Fan et al. 2018), 0 for all.
        top_p: float32 [batch]; the fewest symbols whose probability reaches p (nucleus, Holtzman et al. 2020), of
            the whole distribution: top-k does not renormalise it first.

    Returns:
        int32 [batch].

    Example:
        >>> one = lambda value: tf.constant([value])
        >>> int(sample(tf.constant([[0.0, 5.0, 1.0]]), one(0.3), one(0.0), one(0), one(1.0))[0])
        1
    """
    symbols = tf.shape(logits)[-1]
    values, order = tf.math.top_k(logits, symbols)  # descending
    greedy = ~(temperature > 0)
    divided = values / tf.where(greedy, tf.ones_like(temperature), tf.minimum(temperature, HOTTEST))[:, None]
    probabilities = tf.nn.softmax(divided)
    largest = tf.where(greedy, 1, tf.where(top_k <= 0, symbols, top_k))
    before = tf.cumsum(probabilities, axis=-1, exclusive=True)
    kept = (tf.range(symbols) < largest[:, None]) & (before < top_p[:, None])
    kept |= tf.range(symbols) == 0  # the likeliest symbol is there whatever top_p is
    cumulative = tf.cumsum(tf.where(kept, probabilities, 0.0), axis=-1)
    drawn = tf.reduce_sum(tf.cast(cumulative <= noise[:, None] * cumulative[:, -1:], tf.int32), axis=-1)
    rank = tf.minimum(drawn, tf.reduce_sum(tf.cast(kept, tf.int32), axis=-1) - 1)
    return tf.gather(order, rank, batch_dims=1)

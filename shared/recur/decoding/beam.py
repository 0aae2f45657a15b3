"""What a beam search keeps between two steps, and how it moves on."""

from typing import Any, NamedTuple

import tensorflow as tf

NEVER = -float("inf")  # the log-probability and the score of what does not exist
GROUP = 64  # symbols of which only the largest is looked at first
LEAST_COVERAGE = 1e-30  # of a position never looked at: an infinite penalty would leave no hypothesis


class Finished(NamedTuple):
    """Hypotheses that have ended, by descending score; [batch, n_best] each.

    Attributes:
        scores: float32, -inf where there is no hypothesis.
        log_probabilities: float32.
        lengths: int32, the end not counted.
    """

    scores: tf.Tensor
    log_probabilities: tf.Tensor
    lengths: tf.Tensor


class Beam(NamedTuple):
    """A search between two steps. Rows are the living hypotheses of the batch, those of a sentence side by side.

    Attributes:
        count: int32 scalar, the symbols of every living hypothesis.
        symbols: int32 [rows], the newest of them.
        states: Of the step, of any structure; first axis rows.
        coverage: float32 [rows, time], the attention's weights added up; () where nobody asks.
        living: float32 [batch, beam_width], log-probabilities, descending; -inf where nothing lives.
        finished: The hypotheses that have ended.
        paths: int32 [batch, beam_width + n_best, steps, 2] of the living and then of the finished: each symbol, and the
            row of the sentence from which it was chosen, where the attention to it is found.
        weights: TensorArray of float32 [rows, time], the attention at each step; () where the step gives none.
    """

    count: tf.Tensor
    symbols: tf.Tensor
    states: Any
    coverage: Any
    living: tf.Tensor
    finished: Finished
    paths: tf.Tensor
    weights: Any


class Continuations(NamedTuple):
    """The likeliest ways to go on, descending; [batch, places] each.

    Attributes:
        log_probabilities: float32, of the hypothesis and the symbol.
        parents: int32, which of the sentence's hypotheses goes on.
        symbols: int32.
    """

    log_probabilities: tf.Tensor
    parents: tf.Tensor
    symbols: tf.Tensor


def first_beam(first: tf.Tensor, states: Any, steps: tf.Tensor, beam_width: int, n_best: int) -> Beam:
    """Returns the beam before the first step: one living hypothesis a sentence, without symbols.

    Args:
        first: int32 [batch], what the first step reads.
        states: First axis batch.
        steps: int32 scalar, room for symbols.
        beam_width: Living hypotheses of a sentence.
        n_best: Finished hypotheses of a sentence.
    """
    batch = tf.shape(first)[0]
    nothing = tf.fill([batch, n_best], NEVER)
    return Beam(
        count=tf.constant(0),
        symbols=tf.repeat(tf.cast(first, tf.int32), beam_width),
        states=tf.nest.map_structure(lambda state: tf.repeat(state, beam_width, axis=0), states),
        coverage=(),
        living=tf.tile([[0.0] + [NEVER] * (beam_width - 1)], [batch, 1]),
        finished=Finished(nothing, nothing, tf.zeros([batch, n_best], tf.int32)),
        paths=tf.zeros([batch, beam_width + n_best, steps, 2], tf.int32),
        weights=(),
    )


def continuations(log_probabilities: tf.Tensor, living: tf.Tensor, must_end: tf.Tensor, end: int) -> Continuations:
    """Finds the 2 * beam_width likeliest, among which `beam_width` at least do not end.

    Args:
        log_probabilities: float32 [rows, vocabulary] of the next symbol; NaN counts as impossible.
        living: float32 [batch, beam_width].
        must_end: bool [batch], whether a sentence has as many symbols as it may have.
        end: The symbol that ends a sequence.
    """
    batch, width = tf.shape(living)[0], living.shape[1]
    # First within each hypothesis, which leaves little to compare between them: all could be the end and `width` more.
    places = tf.minimum(width + 1, tf.shape(log_probabilities)[1])
    values, symbols = largest(log_probabilities, places)
    ends = log_probabilities[:, end, None]
    must_end = tf.repeat(must_end, width)[:, None]
    values = tf.where(must_end, tf.where(tf.range(places) == 0, ends, NEVER), values)
    symbols = tf.where(must_end, end, symbols)
    totals = tf.reshape(values, [batch, width, places]) + living[:, :, None]
    totals = tf.reshape(tf.where(tf.math.is_nan(totals), NEVER, totals), [batch, width * places])
    best, index = tf.math.top_k(totals, tf.minimum(2 * width, width * places))
    symbols = tf.gather(tf.reshape(symbols, [batch, width * places]), index, batch_dims=1)
    return Continuations(best, index // places, symbols)


def largest(values: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Does what `tf.math.top_k` does, several times as fast where rows are long.

    The `count` largest of a row are in the `count` groups whose own largest are largest, so that only these are sorted.

    Args:
        values: float32 [rows, symbols].
        count: int32 scalar, at most as many as there are symbols.

    Returns:
        float32 [rows, count], descending, and int32 [rows, count] where they stand; the first of equals comes first.
    """
    rows, symbols = tf.shape(values)[0], tf.shape(values)[1]
    groups = -(-symbols // GROUP)
    padded = tf.pad(values, [[0, 0], [0, groups * GROUP - symbols]], constant_values=NEVER)
    grouped = tf.reshape(padded, [rows, groups, GROUP])
    chosen = tf.minimum(count, groups)
    which = tf.math.top_k(tf.reduce_max(grouped, axis=-1), chosen).indices
    which = tf.sort(which, axis=-1)  # lest a later group with a larger number came before equals of an earlier one
    best, places = tf.math.top_k(tf.reshape(tf.gather(grouped, which, batch_dims=1), [rows, chosen * GROUP]), count)
    return best, tf.gather(which, places // GROUP, batch_dims=1) * GROUP + places % GROUP


def finish(
    finished: Finished, scores: tf.Tensor, log_probabilities: tf.Tensor, length: tf.Tensor
) -> tuple[Finished, tf.Tensor]:
    """Keeps the best of what had ended and what ends now.

    Args:
        finished: What had ended.
        scores: float32 [batch, places], of what ends now; -inf where nothing does.
        log_probabilities: float32 [batch, places].
        length: int32 scalar, of all that ends now.

    Returns:
        The best, and int32 [batch, n_best] which they are, counting the finished first and then the places.
    """
    best, which = tf.math.top_k(tf.concat([finished.scores, scores], axis=1), finished.scores.shape[1])
    log_probabilities = tf.concat([finished.log_probabilities, log_probabilities], axis=1)
    lengths = tf.concat([finished.lengths, tf.fill(tf.shape(scores), length)], axis=1)
    return Finished(best, *(tf.gather(old, which, batch_dims=1) for old in (log_probabilities, lengths))), which


def coverage_scores(coverage: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Sums up how little of each position was read, sum_i log(min(coverage_i, 1)) (Wu et al. 2016, equation 15).

    Args:
        coverage: float32 [batch, beam_width, time], the attention's weights added up over the steps.
        mask: bool [batch, time], False at padding, or None where there is none.

    Returns:
        float32 [batch, beam_width], at most 0.
    """
    logs = tf.math.log(tf.clip_by_value(coverage, LEAST_COVERAGE, 1.0))
    sums = tf.reduce_sum(logs if mask is None else tf.where(mask[:, None], logs, 0.0), axis=-1)
    return tf.where(tf.math.is_nan(sums), NEVER, sums)


def attention_of(weights: tf.Tensor, paths: tf.Tensor, lengths: tf.Tensor, beam_width: int) -> tf.Tensor:
    """Collects the weights with which the symbols of finished hypotheses were chosen.

    Args:
        weights: float32 [steps taken, rows, time], at least one step.
        paths: int32 [batch, n_best, steps, 2], see `Beam`.
        lengths: int32 [batch, n_best].
        beam_width: Rows of a sentence.

    Returns:
        float32 [batch, n_best, steps, time], zeros from the end on.
    """
    batch, steps = tf.shape(paths)[0], tf.range(tf.shape(paths)[2])
    rows = tf.range(batch)[:, None, None] * beam_width + paths[..., 1]
    # The search may have stopped before the longest sequence that it had room for.
    taken = tf.broadcast_to(tf.minimum(steps, tf.shape(weights)[0] - 1), tf.shape(rows))
    found = tf.gather_nd(weights, tf.stack([taken, rows], axis=-1))
    return tf.where((steps < lengths[..., None])[..., None], found, 0.0)

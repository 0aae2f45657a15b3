"""Beam search: the sequences of the highest score among those that a few living hypotheses grow into, in graph."""

from collections.abc import Callable, Sequence
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
    chosen = tf.gather_nd(weights, tf.stack([taken, rows], axis=-1))
    return tf.where((steps < lengths[..., None])[..., None], chosen, 0.0)


def completing_symbols(history: tf.Tensor, count: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the symbols that would complete an n-gram that was said already (Paulus, Xiong & Socher 2018, section 2.5).

    Args:
        history: int32 [rows, steps], what was said; what stands after `count` symbols is ignored.
        count: int32 scalar, how much was said.
        size: Symbols in an n-gram, at least 1.

    Returns:
        int32 [rows, places] symbols, and bool [rows, places] whether each is one that would complete an n-gram.

    Example:
        >>> symbols, completing = completing_symbols(tf.constant([[5, 6, 7, 5, 0]]), tf.constant(4), size=2)
        >>> tf.boolean_mask(symbols, completing).numpy().tolist()
        [6]
    """
    places = tf.maximum(tf.shape(history)[1] - size + 1, 0)
    ends = history[:, size - 1 : size - 1 + places]
    completing = tf.broadcast_to(tf.range(places) + size <= count, tf.shape(ends))
    readable = tf.pad(history, [[0, 0], [0, 1]])  # there may be no steps at all
    for offset in range(size - 1):
        # Before there are size - 1 symbols this reads a wrong one, but then no n-gram has been said either.
        latest = tf.gather(readable, tf.maximum(count - size + 1 + offset, 0), axis=1)
        completing &= history[:, offset : offset + places] == latest[:, None]
    return ends, completing


def without(log_probabilities: tf.Tensor, symbols: tf.Tensor, where: tf.Tensor | bool = True) -> tf.Tensor:
    """Makes symbols impossible; the others keep their log-probabilities, for nothing is renormalised.

    Args:
        log_probabilities: float32 [rows, vocabulary].
        symbols: int32 [rows, places].
        where: bool [rows, places], which of the places count.

    Returns:
        float32 [rows, vocabulary].
    """
    rows = tf.broadcast_to(tf.range(tf.shape(symbols)[0])[:, None], tf.shape(symbols))
    # A minimum and not an assignment: the same symbol may stand at a place that counts and at one that does not.
    values = tf.broadcast_to(tf.where(where, -float("inf"), float("inf")), tf.shape(symbols))
    return tf.tensor_scatter_nd_min(log_probabilities, tf.stack([rows, symbols], axis=-1), values)


Step = Callable[[tf.Tensor, Any, Any], tuple[tf.Tensor, Any, tf.Tensor | None]]


class Hypotheses(NamedTuple):
    """What a search found, the best first. Where there are fewer, the rest have no symbols and a score of -inf.

    Attributes:
        symbols: int32 [batch, n_best, steps], 0 from the end on; there are as many steps as the largest limit.
        lengths: int32 [batch, n_best], symbols before the end.
        log_probabilities: float32 [batch, n_best], the sum over the symbols and the end.
        scores: float32 [batch, n_best], what the search ranks by, descending.
        attention: float32 [batch, n_best, steps, time], the weights with which each symbol was chosen and zeros from
            the end on; None where the step gives none.
    """

    symbols: tf.Tensor
    lengths: tf.Tensor
    log_probabilities: tf.Tensor
    scores: tf.Tensor
    attention: tf.Tensor | None


def beam_search(
    step: Step,
    states: Any,
    first: tf.Tensor,
    limits: tf.Tensor,
    *,
    end: int,
    beam_width: int,
    n_best: int = 1,
    length_penalty: float = 1.0,
    coverage_penalty: float = 0.0,
    forbidden: Sequence[int] = (),
    no_repeat_ngram: int = 0,
    constants: Any = (),
    memory_mask: tf.Tensor | None = None,
) -> Hypotheses:
    """Writes sequences for each row of a batch by going on with the likeliest `beam_width` beginnings at every step.

    The score of a hypothesis is log-probability / length ** length_penalty, the end counted, as in Fairseq (Ott et al.
    2019) and, with a penalty of 1, in Jean et al. 2015; it is not divided by GNMT's ((5 + length) / 6) ** penalty (Wu
    et al. 2016, equation 14). What is added to it is GNMT's, of equation 15:
    coverage_penalty * sum over positions i of log(min(sum over steps t of a_ti, 1)), the end's step counted.

    A hypothesis is finished when its end is among the `beam_width` likeliest continuations of its row. It takes no
    place from the living: `beam_width` that do not end go on. A row stops when none of these can reach the score of
    the worst finished one that is asked for (Huang, Zhao & Ma 2017), which changes no answer. A width of 1 is greedy
    search, whose first end is the answer. What a row gets does not depend on its batch mates. Ties go to the hypothesis
    that was ahead, then to the lower symbol; among the finished to the shorter.

    Args:
        step: From symbols int32 [rows], states and constants to logits [rows, vocabulary], new states, and the
            attention's weights [rows, time] or None; rows are batch * beam_width.
        states: Before the first step, of any structure; the first axis of all is the batch.
        first: int32 [batch], what the first step reads.
        limits: int32 [batch], the most symbols of each row; a hypothesis that has so many must end.
        end: The symbol that ends a sequence.
        beam_width: Hypotheses that live.
        n_best: Hypotheses returned, at most `beam_width`.
        length_penalty: 0 compares log-probabilities, which favours the short; 1 their means.
        coverage_penalty: What it costs to leave positions of a memory unread; 0 for nothing.
        forbidden: Symbols that never come. The others keep their probabilities.
        no_repeat_ngram: Symbols of the n-grams of which none comes twice (Paulus, Xiong & Socher 2018); 0 allows all.
        constants: What no step changes, such as a memory, of any structure; the first axis of all is the batch. All
            hypotheses of a row share it, so it is repeated once and not moved between them.
        memory_mask: bool [batch, time], False at padding, which needs no coverage.

    Returns:
        The best hypotheses of each row; none where the logits are NaN.

    Raises:
        ValueError: The options contradict one another, or ask for the coverage of a step without attention.

    Example:
        >>> table = tf.math.log([[0.0, 0.4, 0.6, 0.0], [0.0, 0.0, 0.1, 0.9], [0.0, 0.5, 0.2, 0.3]])
        >>> step = lambda symbols, states, constants: (tf.gather(table, symbols), states, None)
        >>> options = {"end": 3, "length_penalty": 0.0}
        >>> for width in (1, 2):
        ...     best = beam_search(step, (), tf.constant([0]), tf.constant([3]), beam_width=width, **options)
        ...     print(best.symbols.numpy()[0, 0], tf.exp(best.log_probabilities).numpy()[0, 0].round(2))
        [2 1 0] 0.27
        [1 0 0] 0.36
    """
    _check(end, beam_width, n_best, (length_penalty, coverage_penalty, no_repeat_ngram), forbidden)
    limits = tf.maximum(limits, 0)
    batch = tf.shape(limits)[0]
    steps = tf.reduce_max(tf.concat([limits, [0]], axis=0))  # an empty batch has no largest limit
    constants = tf.nest.map_structure(lambda constant: tf.repeat(constant, beam_width, axis=0), constants)

    def normalised(log_probabilities: tf.Tensor, symbols: tf.Tensor) -> tf.Tensor:
        return log_probabilities / tf.cast(symbols + 1, tf.float32) ** length_penalty

    def allowed(logits: tf.Tensor, beam: Beam) -> tf.Tensor:
        log_probabilities = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        if forbidden:
            log_probabilities = without(log_probabilities, tf.tile([forbidden], [batch * beam_width, 1]))
        if no_repeat_ngram:
            history = tf.reshape(beam.paths[:, :beam_width, :, 0], [batch * beam_width, steps])
            repeating = completing_symbols(history, beam.count, no_repeat_ngram)
            log_probabilities = without(log_probabilities, *repeating)
        return log_probabilities

    def advance(beam: Beam) -> Beam:
        logits, states, attention = step(beam.symbols, beam.states, constants)
        best, parents, symbols = continuations(allowed(logits, beam), beam.living, beam.count >= limits, end)
        coverage, weights = beam.coverage, beam.weights
        if attention is not None:
            attention = tf.cast(attention, tf.float32)
            if isinstance(weights, tuple):
                weights = tf.TensorArray(tf.float32, steps + 1, element_shape=attention.shape)
            weights = weights.write(beam.count, attention)

        ends = tf.where(symbols == end, best, NEVER)[:, :beam_width]
        scores = normalised(ends, beam.count)
        if coverage_penalty:
            if attention is None:
                raise ValueError("a coverage penalty needs a step that returns its attention's weights")
            coverage = attention if isinstance(coverage, tuple) else coverage + attention
            read = tf.reshape(coverage, [batch, beam_width, tf.shape(coverage)[1]])
            penalties = coverage_penalty * coverage_scores(read, memory_mask)
            scores += tf.gather(penalties, parents[:, :beam_width], batch_dims=1)
        finished, which = finish(beam.finished, scores, ends, beam.count)
        ended = tf.tile([tf.range(beam_width, beam_width + n_best)], [batch, 1])
        ended = tf.gather(tf.concat([ended, parents[:, :beam_width]], axis=1), which, batch_dims=1)

        living, chosen = tf.math.top_k(tf.where(symbols == end, NEVER, best), beam_width)
        parents, symbols = (tf.gather(old, chosen, batch_dims=1) for old in (parents, symbols))
        # No score is better than that of a hypothesis to which all that follows is certain, up to its limit.
        possible = normalised(living[:, :1], limits[:, None])
        worst = finished.scores[:, -1:]
        living = tf.where(worst >= possible if beam_width > 1 else worst > NEVER, NEVER, living)

        paths = tf.gather(beam.paths, tf.concat([parents, ended], axis=1), batch_dims=1)
        newest = tf.pad(tf.stack([symbols, parents], axis=-1), [[0, 0], [0, n_best], [0, 0]])  # the finished get none
        paths = tf.where((tf.range(steps) == beam.count)[:, None], newest[:, :, None], paths)
        rows = tf.reshape(tf.range(batch)[:, None] * beam_width + parents, [-1])
        states, coverage = tf.nest.map_structure(lambda old: tf.gather(old, rows), (states, coverage))
        symbols = tf.reshape(symbols, [-1])
        return Beam(beam.count + 1, symbols, states, coverage, living, finished, paths, weights)

    # The first step is outside of the loop because it shows which attention there is to carry, and of which shapes.
    beam = advance(first_beam(first, states, steps, beam_width, n_best))
    (beam,) = tf.while_loop(
        lambda beam: tf.reduce_any(beam.living > NEVER), lambda beam: [advance(beam)], [beam], [_shapes(beam)]
    )
    paths = beam.paths[:, beam_width:]
    attention = None
    if not isinstance(beam.weights, tuple):
        attention = attention_of(beam.weights.gather(tf.range(beam.count)), paths, beam.finished.lengths, beam_width)
    scores, log_probabilities, lengths = beam.finished
    return Hypotheses(paths[..., 0], lengths, log_probabilities, scores, attention)


def _check(end: int, beam_width: int, n_best: int, penalties: Sequence[float], forbidden: Sequence[int]) -> None:
    """Refuses options that make no sense."""
    if not 1 <= n_best <= beam_width:
        raise ValueError(f"n_best is {n_best}; it must be at least 1 and at most beam_width, which is {beam_width}")
    if min(penalties) < 0:
        raise ValueError("length_penalty, coverage_penalty and no_repeat_ngram must not be negative")
    if end in forbidden:
        raise ValueError(f"the end, {end}, must not be forbidden")


def _shapes(beam: Beam) -> Beam:
    """Returns the shapes that stay alike from step to step, all but the first axis, which a batch may leave open."""

    def shape(value: tf.Tensor | tf.TensorArray) -> tf.TensorShape:
        if isinstance(value, tf.TensorArray):
            return tf.TensorShape([])
        return tf.TensorShape([None, *value.shape[1:]]) if value.shape.rank else value.shape

    return tf.nest.map_structure(shape, beam)

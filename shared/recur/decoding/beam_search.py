"""Beam search: the sequences of the highest score among those that a few living hypotheses grow into, in graph."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from recur.decoding.beam import NEVER, Beam, attention_of, continuations, coverage_scores, finish, first_beam
from recur.decoding.repetition import completing_symbols, without

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
        ...     found = beam_search(step, (), tf.constant([0]), tf.constant([3]), beam_width=width, **options)
        ...     print(found.symbols.numpy()[0, 0], tf.exp(found.log_probabilities).numpy()[0, 0].round(2))
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

"""Beam search: what a plain search in Python finds, what all sequences there are say, and that rows do not meet."""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from recur.decoding.beam import beam_search, completing_symbols, largest

pytestmark = pytest.mark.slow

WIDTH, TIME = 3, 4  # of the models' states and of their memories
NEVER = -np.inf


class Models(NamedTuple):
    """A recurrent model a row, drawn at random, so that a hypothesis that gets another's state is seen."""

    states: np.ndarray
    embeddings: np.ndarray
    transitions: np.ndarray
    outputs: np.ndarray
    memories: np.ndarray


def models(rows: int, vocabulary: int, seed: int = 0) -> Models:
    draw = np.random.default_rng(seed).normal
    sizes = [(WIDTH,), (vocabulary, WIDTH), (WIDTH, WIDTH), (WIDTH, vocabulary), (WIDTH, TIME)]
    return Models(*(1.5 * draw(size=(rows, *size)).astype("float32") for size in sizes))


def step(symbols, states, constants):
    """A step of many models: their states are a nest, as those of layers are."""
    (hidden,) = states
    embedded = tf.gather(constants.embeddings, symbols, batch_dims=1)
    hidden = tf.tanh(embedded + tf.einsum("ri,rij->rj", hidden, constants.transitions))
    weights = tf.nn.softmax(tf.einsum("ri,rit->rt", hidden, constants.memories))
    return tf.einsum("ri,riv->rv", hidden, constants.outputs), [hidden], weights


def step_alone(model: Models, symbol: int, hidden: np.ndarray):
    hidden = np.tanh(model.embeddings[symbol] + hidden @ model.transitions)
    logits, weights = hidden @ model.outputs, np.exp(hidden @ model.memories)
    return logits - np.log(np.exp(logits).sum()), hidden, weights / weights.sum()


class Found(NamedTuple):
    symbols: list
    log_probability: float
    attention: list
    hidden: np.ndarray

    def score(self, mask, length_penalty=1.0, coverage_penalty=0.0) -> float:
        """Of one whose last symbol is the end."""
        covered = np.log(np.minimum(np.sum(self.attention, axis=0), 1))[mask].sum()
        return self.log_probability / len(self.symbols) ** length_penalty + coverage_penalty * covered


def repeats(symbols: list, n: int) -> bool:
    grams = [tuple(symbols[i : i + n]) for i in range(len(symbols) - n + 1)]
    return n > 0 and len(set(grams)) < len(grams)


def children(model, hypothesis, limit, end, forbidden=(), no_repeat_ngram=0):
    """All ways in which a hypothesis may go on."""
    log_probabilities, hidden, weights = step_alone(
        model, hypothesis.symbols[-1] if hypothesis.symbols else 0, hypothesis.hidden
    )
    for symbol in [end] if len(hypothesis.symbols) == limit else range(len(log_probabilities)):
        symbols = [*hypothesis.symbols, symbol]
        if not (symbol in forbidden or repeats(symbols, no_repeat_ngram)):
            yield Found(
                symbols,
                hypothesis.log_probability + log_probabilities[symbol],
                [*hypothesis.attention, weights],
                hidden,
            )


def plain_search(model, limit, mask, *, end, beam_width, n_best, forbidden=(), no_repeat_ngram=0, **penalties):
    """What `beam_search` does, written for the reader; it never stops early."""
    living, finished = [Found([], 0.0, [], model.states)], []
    for _ in range(limit + 1):
        born = [new for old in living for new in children(model, old, limit, end, forbidden, no_repeat_ngram)]
        born.sort(key=lambda hypothesis: -hypothesis.log_probability)
        finished += [hypothesis for hypothesis in born[:beam_width] if hypothesis.symbols[-1] == end]
        living = [hypothesis for hypothesis in born if hypothesis.symbols[-1] != end][:beam_width]
        if beam_width == 1 and finished:
            break
    return sorted(finished, key=lambda hypothesis: -hypothesis.score(mask, **penalties))[:n_best]


def all_sequences(model, limit, mask, *, end, n_best, beam_width, **penalties):
    """The best of every sequence there is."""
    finished, growing = [], [Found([], 0.0, [], model.states)]
    for _ in range(limit + 1):
        growing = list(itertools.chain(*(children(model, old, limit, end) for old in growing)))
        finished += [hypothesis for hypothesis in growing if hypothesis.symbols[-1] == end]
        growing = [hypothesis for hypothesis in growing if hypothesis.symbols[-1] != end]
    return sorted(finished, key=lambda hypothesis: -hypothesis.score(mask, **penalties))[:n_best]


def searcher(**options):
    """A traced search; batch, vocabulary and time are open, as they are in an export."""
    kinds = [tf.TensorSpec([None] * (len(shape) + 1)) for shape in ((1,), (1, 1), (1, 1), (1, 1), (1, 1))]

    @tf.function(
        input_signature=[Models(*kinds), tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.bool)],
        autograph=False,  # which takes most of the time of tracing
    )
    def search(batch, limits, mask):
        first = tf.zeros_like(limits)
        hypotheses = beam_search(step, [batch.states], first, limits, constants=batch, memory_mask=mask, **options)
        return hypotheses._asdict()

    return search


def tensors(batch: Models) -> Models:
    return Models(*map(tf.constant, batch))


def row_of(batch: Models, row: int) -> Models:
    return Models(*(part[row : row + 1] for part in batch))


def assert_found(search, expected, batch, limits, mask, options):
    """Asserts that a search finds in every row what a slower one does."""
    hypotheses = {name: value.numpy() for name, value in search(tensors(batch), limits, mask).items()}
    penalties = {name: options[name] for name in ("length_penalty", "coverage_penalty") if name in options}
    assert hypotheses["symbols"].shape[2] == max(limits)
    for row, (limit, rowmask) in enumerate(zip(limits, mask, strict=True)):
        wanted = expected(Models(*(part[row] for part in batch)), limit, rowmask, **options)
        assert np.isfinite(hypotheses["scores"][row]).sum() == len(wanted)
        for rank, one in enumerate(wanted):
            length = len(one.symbols) - 1
            symbols = hypotheses["symbols"][row, rank]
            assert hypotheses["lengths"][row, rank] == length
            assert symbols.tolist() == one.symbols[:-1] + [0] * (len(symbols) - length)
            assert hypotheses["log_probabilities"][row, rank] == pytest.approx(one.log_probability, abs=1e-3)
            assert hypotheses["scores"][row, rank] == pytest.approx(one.score(rowmask, **penalties), abs=1e-3)
            attention = hypotheses["attention"][row, rank]
            np.testing.assert_allclose(attention[:length], np.reshape(one.attention[:-1], (length, TIME)), atol=1e-4)
            assert not attention[length:].any()
        assert not hypotheses["symbols"][row, len(wanted) :].any()


@pytest.mark.parametrize(
    "penalties",
    [{"length_penalty": 0.0}, {}, {"length_penalty": 1.7}, {"length_penalty": 0.6, "coverage_penalty": 0.4}],
    ids=str,
)
def test_a_beam_wide_enough_finds_the_best_of_all_sequences(penalties):
    options = {"end": 2, "beam_width": 120, "n_best": 6, **penalties}
    rows = 8
    limits, mask = np.resize([3, 1, 2, 3], rows).astype("int32"), np.ones((rows, TIME), bool)
    assert_found(searcher(**options), all_sequences, models(rows, 4), limits, mask, options)


@pytest.mark.parametrize(
    "options",
    [
        {"beam_width": 3, "n_best": 3},
        {"beam_width": 2, "n_best": 1, "length_penalty": 0.0},
        {"beam_width": 4, "n_best": 2, "length_penalty": 0.7, "coverage_penalty": 0.5, "forbidden": (1, 4)},
        {"beam_width": 3, "n_best": 2, "no_repeat_ngram": 1},
        {"beam_width": 5, "n_best": 5, "no_repeat_ngram": 3, "forbidden": (0,), "vocabulary": 4},
        {"beam_width": 8, "n_best": 8, "vocabulary": 3, "no_repeat_ngram": 2, "length_penalty": 1.4},
        {"beam_width": 1, "n_best": 1, "no_repeat_ngram": 2, "coverage_penalty": 0.2},
    ],
    ids=str,
)
def test_it_finds_what_a_plain_search_that_never_stops_early_finds(options):
    options = {"end": 2, **options}
    rows, vocabulary = 15, options.pop("vocabulary", 150)  # of 150 symbols there are three groups
    limits = np.resize([7, 0, 3, 9, 1], rows).astype("int32")
    mask = np.arange(TIME) < np.resize([4, 2, 3], rows)[:, None]
    batch = models(rows, vocabulary)
    batch.outputs[..., 2] *= 3  # so that ends are sometimes likely among many symbols
    assert_found(searcher(**options), plain_search, batch, limits, mask, options)


@pytest.fixture(scope="module")
def three_best():
    return searcher(end=2, beam_width=4, n_best=3, coverage_penalty=0.3)


def test_a_row_is_searched_alike_alone_and_in_a_batch(three_best):
    rows = 12
    batch, mask = models(rows, 6, seed=1), np.ones((rows, TIME), bool)
    limits = np.resize([9, 2, 0, 5], rows).astype("int32")
    together = three_best(tensors(batch), limits, mask)
    for row in range(rows):
        alone = three_best(tensors(row_of(batch, row)), limits[row : row + 1], mask[:1])
        steps = limits[row]
        np.testing.assert_array_equal(together["symbols"][row, :, :steps], alone["symbols"][0])
        np.testing.assert_array_equal(together["lengths"][row], alone["lengths"][0])
        np.testing.assert_allclose(together["scores"][row], alone["scores"][0], rtol=1e-5)
        np.testing.assert_allclose(together["attention"][row, :, :steps], alone["attention"][0], atol=1e-5)


def test_the_best_are_distinct_and_sorted(three_best):
    hypotheses = three_best(tensors(models(30, 6, seed=2)), np.full(30, 8, "int32"), np.ones((30, TIME), bool))
    assert (np.diff(hypotheses["scores"]) <= 0).all()
    for symbols, lengths in zip(hypotheses["symbols"].numpy(), hypotheses["lengths"].numpy(), strict=True):
        assert len({tuple(s[:length]) for s, length in zip(symbols, lengths, strict=True)}) == 3


def test_rows_that_are_not_numbers_find_nothing_and_disturb_nobody(three_best):
    batch, limits, mask = models(3, 6), np.full(3, 5, "int32"), np.ones((3, TIME), bool)
    healthy = three_best(tensors(batch), limits, mask)
    batch.states[1] = np.nan
    hypotheses = three_best(tensors(batch), limits, mask)
    assert (hypotheses["scores"][1].numpy() == NEVER).all()
    assert not hypotheses["symbols"][1].numpy().any()
    for row in (0, 2):
        np.testing.assert_array_equal(hypotheses["symbols"][row], healthy["symbols"][row])


def test_a_batch_may_be_empty(three_best):
    hypotheses = three_best(tensors(models(0, 6)), np.zeros(0, "int32"), np.ones((0, TIME), bool))
    assert {name: value.shape.as_list() for name, value in hypotheses.items()} == {
        "symbols": [0, 3, 0],
        "lengths": [0, 3],
        "log_probabilities": [0, 3],
        "scores": [0, 3],
        "attention": [0, 3, 0, TIME],
    }


def test_an_export_finds_the_same(three_best, tmp_path):
    module = tf.Module()
    module.search = three_best
    tf.saved_model.save(module, str(tmp_path / "export"))
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    arguments = tensors(models(4, 6)), tf.constant([4, 3, 0, 6]), tf.ones([4, TIME], tf.bool)
    before, after = three_best(*arguments), loaded.search(*arguments)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def from_table(probabilities, **options):
    """Searches, not traced, a language in which only the last symbol counts; also counts the steps."""
    logits, calls = tf.math.log(tf.constant(probabilities, tf.float32)), []

    def table_step(symbols, states, constants):
        calls.append(1)
        return tf.gather(logits, symbols), states, None

    hypotheses = beam_search(table_step, (), tf.constant([0]), **{"beam_width": 1, "end": 2, **options})
    return hypotheses, len(calls)


def test_a_width_of_one_takes_the_likeliest_symbol_until_the_first_end():
    batch = models(40, 5, seed=3)
    search = searcher(end=2, beam_width=1, length_penalty=1.0)
    hypotheses = search(tensors(batch), np.full(40, 6, "int32"), np.ones((40, TIME), bool))
    for row in range(40):
        model, hidden, symbol, symbols = Models(*(part[row] for part in batch)), batch.states[row], 0, []
        while len(symbols) < 6:
            log_probabilities, hidden, _ = step_alone(model, symbol, hidden)
            symbol = int(log_probabilities.argmax())
            if symbol == 2:
                break
            symbols.append(symbol)
        assert hypotheses["symbols"][row, 0].numpy()[: hypotheses["lengths"][row, 0]].tolist() == symbols


def test_a_search_stops_as_soon_as_nothing_can_win():
    likely_end = [[0.0, 1.0, 0.0], [0.05, 0.05, 0.9], [0.0, 0.0, 1.0]]
    hypotheses, calls = from_table(likely_end, limits=tf.constant([40]), beam_width=2, length_penalty=0.0)
    assert hypotheses.symbols[0, 0, :2].numpy().tolist() == [1, 0]
    assert calls == 2


def test_a_search_goes_on_while_something_longer_may_win():
    early_end = [[0.0, 0.4, 0.6], [0.0, 0.98, 0.02], [0.0, 0.0, 1.0]]
    hypotheses, calls = from_table(early_end, limits=tf.constant([40]), beam_width=2)
    assert (int(hypotheses.lengths[0, 0]), calls) == (40, 41)  # by the mean of its log-probabilities
    hypotheses, calls = from_table(early_end, limits=tf.constant([40]), beam_width=1)
    assert (int(hypotheses.lengths[0, 0]), calls) == (0, 1)


def test_ties_go_to_the_lower_symbol():
    hypotheses, _ = from_table(np.full((5, 5), 0.2), limits=tf.constant([3]), beam_width=3, n_best=3, end=4)
    assert hypotheses.attention is None
    assert hypotheses.symbols.numpy().tolist() == [[[0, 0, 0], [0, 0, 1], [0, 0, 2]]]
    hypotheses, _ = from_table(np.full((5, 5), 0.2), limits=tf.constant([3]), end=0)
    assert hypotheses.lengths.numpy().tolist() == [[0]]


@pytest.mark.parametrize(
    "options",
    [
        {"n_best": 2},
        {"beam_width": 0, "n_best": 0},
        {"length_penalty": -1.0},
        {"coverage_penalty": 1.0},
        {"no_repeat_ngram": -1},
        {"forbidden": (2,)},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=r"n_best|negative|attention|end"):
        from_table(np.full((3, 3), 1 / 3), limits=tf.constant([3]), **options)


@pytest.mark.parametrize(("symbols", "count"), [(1, 1), (5, 5), (64, 3), (65, 7), (1000, 6)])
def test_the_largest_are_those_of_a_full_sort(symbols, count):
    values = np.random.default_rng(0).integers(0, 30, (50, symbols)).astype("float32")  # with many equals
    values[values == 7] = NEVER
    values[0] = NEVER
    best, places = largest(tf.constant(values), tf.constant(count))
    wanted = np.argsort(-values, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(places, wanted)
    np.testing.assert_array_equal(best, np.take_along_axis(values, wanted, axis=1))


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_symbols_that_complete_an_ngram_are_those_that_would_make_it_come_twice(size):
    draw = np.random.default_rng(size)
    for count, steps in [(0, 0), *((count, 5) for count in range(6))]:
        history = draw.integers(0, 3, (30, steps)).astype("int32")
        symbols, completing = (part.numpy() for part in completing_symbols(tf.constant(history), count, size))
        for row, said in enumerate(history[:, :count].tolist()):
            seen = {tuple(said[i : i + size]) for i in range(len(said) - size + 1)}
            last = said[len(said) - size + 1 :] if size > 1 else []
            wanted = {symbol for symbol in range(3) if (*last, symbol) in seen}
            assert set(symbols[row][completing[row]].tolist()) == wanted

"""The tasks of long memory are what the papers describe, and the same for the same seed."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.memory.tasks import Adding, Copying, Digits, PermutedDigits


def drawn(task, size, *seed):
    return [tensor.numpy() for tensor in task.batch(tf.constant(seed or (0, 0), tf.int64), size)]


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@settings(deadline=None, max_examples=30)
@given(length=st.integers(2, 60), step=st.integers(0, 2**40))
def test_adding_marks_one_number_in_each_half(length, step):
    x, y = drawn(Adding(length), 20, 3, step)
    assert x.shape == (20, length, 2)
    assert y.shape == (20, 1)
    numbers, marks = x[..., 0], x[..., 1]
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert set(np.unique(marks)) <= {0, 1}
    assert np.all(marks[:, : length // 2].sum(1) == 1)
    assert np.all(marks[:, length // 2 :].sum(1) == 1)
    np.testing.assert_allclose(y[:, 0], (numbers * marks).sum(1), rtol=1e-6)


def test_adding_marks_every_step_equally_often():
    x, _ = drawn(Adding(7), 60_000)
    share = x[..., 1].mean(0)
    np.testing.assert_allclose(share, [1 / 3] * 3 + [1 / 4] * 4, atol=0.01)


def test_the_constant_1_has_the_variance_of_the_sum():
    assert Adding(5).baselines()["constant 1"] == pytest.approx(1 / 6, abs=0.006)


@pytest.mark.parametrize("length", [1, 2, 30])
def test_copying_shows_the_symbols_and_wants_them_at_the_end(length):
    task = Copying(length)
    x, y = drawn(task, 50)
    read = x.argmax(-1)
    assert x.shape == (50, length + 20, 10)
    assert np.all(x.sum(-1) == 1)
    assert set(read[:, :10].ravel()) == set(range(8))
    assert np.all(read[:, 10 : 9 + length] == task.blank)
    assert np.all(read[:, 9 + length] == task.delimiter)
    assert np.all(read[:, 10 + length :] == task.blank)
    assert np.all(y[:, : length + 10] == task.blank)
    np.testing.assert_array_equal(y[:, -10:], read[:, :10])


def test_the_baseline_of_copying_is_the_best_without_memory():
    task = Copying(30)
    _, y = drawn(task, 50)
    logits = np.full((50, 50, 9), -1e9, np.float32)
    logits[:, :40, task.blank] = 0
    logits[:, 40:, :8] = 0
    assert float(task.loss(y, logits)) == pytest.approx(task.baselines()["remembers nothing"], rel=1e-6)


@pytest.mark.parametrize("task", [Adding(20), Copying(20)], ids=lambda task: task.name)
def test_examples_depend_on_the_seed_alone(task):
    assert same(drawn(task, 8, 1, 5), drawn(task, 8, 1, 5))
    assert not same(drawn(task, 8, 1, 5), drawn(task, 8, 1, 6))
    assert not same(drawn(task, 8, 1, 5), drawn(task, 8, 2, 5))
    assert same(task.held_out("test"), task.held_out("test"))
    assert not np.array_equal(task.held_out("test")[0][:100], task.held_out("validation")[0][:100])
    assert {part: len(task.held_out(part)[0]) for part in task.held_out_sizes} == task.held_out_sizes


@pytest.mark.parametrize("task", [Adding, Copying])
def test_a_length_too_short_is_refused(task):
    with pytest.raises(ValueError, match="needs"):
        task(0)


class TestDigits:
    @pytest.fixture(autouse=True)
    def _needs_scikit_learn(self):
        pytest.importorskip("sklearn", reason="the digits need scikit-learn: pip install -r requirements-bench.txt")

    def test_training_draws_from_its_own_pictures(self):
        task = Digits()
        training = {picture.tobytes() for picture in task._part("train")[0]}
        x, y = drawn(task, 500)
        assert (x.shape, y.shape) == ((500, 64, 1), (500,))
        assert {picture.tobytes() for picture in x} <= training
        held_out = [task.held_out(part)[0] for part in ("validation", "test")]
        assert [len(training), *map(len, held_out)] == [1097, 200, 500]
        assert not training & {picture.tobytes() for part in held_out for picture in part}

    def test_one_permutation_for_all_pictures(self):
        (plain, digits), (permuted, same_digits) = Digits().held_out("test"), PermutedDigits().held_out("test")
        np.testing.assert_array_equal(digits, same_digits)
        # Where a pixel went is seen by its values in all pictures.
        columns = {permuted[:, t, 0].tobytes() for t in range(64)}
        assert columns == {plain[:, t, 0].tobytes() for t in range(64)}
        assert not np.array_equal(plain, permuted)

    def test_a_higher_accuracy_is_better(self):
        task = Digits()
        outputs = tf.one_hot([1, 2, 3, 4], 10)
        assert float(task.measure(tf.constant([1, 2, 3, 5]), outputs)) == 0.75
        assert task.better(0.9, 0.8)
        assert task.solved(0.98)
        assert not task.solved(0.75)
        baselines = task.baselines()
        assert baselines["commonest"] < 0.2 < 0.8 < baselines["logistic regression"]

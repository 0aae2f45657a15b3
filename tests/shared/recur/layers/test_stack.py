"""Stacks and builders: masks, carried state, one step at a time."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers.builders import CELLS, recurrent_layer, recurrent_stack

pytestmark = pytest.mark.slow

SHAPES = {
    "cell": st.sampled_from(sorted(CELLS)),
    "layers": st.integers(1, 3),
    "batch": st.integers(1, 4),
    "time": st.integers(2, 7),
}


def stack_and_inputs(cell: str, layers: int, batch: int, time: int) -> tuple[keras.layers.Layer, np.ndarray]:
    keras.utils.set_random_seed(7)
    stack = recurrent_stack(cell, units=5, layers=layers, dropout=0.5)
    return stack, np.random.default_rng(0).normal(size=(batch, time, 3)).astype(np.float32)


@settings(max_examples=5, deadline=None)
@given(**SHAPES)
def test_reading_in_two_parts_with_the_state_carried_equals_reading_at_once(cell, layers, batch, time):
    stack, inputs = stack_and_inputs(cell, layers, batch, time)
    whole, final = stack(inputs)
    first, states = stack(inputs[:, : time // 2])
    second, after = stack(inputs[:, time // 2 :], initial_state=states)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-5)
    for actual, wanted in zip(after, final, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)


@settings(max_examples=5, deadline=None)
@given(**SHAPES)
def test_step_by_step_equals_the_sequence(cell, layers, batch, time):
    stack, inputs = stack_and_inputs(cell, layers, batch, time)
    whole, final = stack(inputs)
    states = stack.zero_states(batch)
    for t in range(time):
        output, states = stack.step(inputs[:, t], states)
        np.testing.assert_allclose(output, whole[:, t], atol=1e-5)
    for actual, wanted in zip(states, final, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)


@settings(max_examples=5, deadline=None)
@given(data=st.data(), **SHAPES)
def test_masked_steps_change_nothing_and_the_state_is_that_of_the_last_valid_step(data, cell, layers, batch, time):
    stack, inputs = stack_and_inputs(cell, layers, batch, time)
    lengths = np.array(data.draw(st.lists(st.integers(1, time), min_size=batch, max_size=batch)))
    mask = np.arange(time) < lengths[:, None]
    garbage = np.where(mask[..., None], inputs, 100.0).astype(np.float32)
    _, states = stack(garbage, mask=keras.ops.convert_to_tensor(mask))
    for row, length in enumerate(lengths):
        _, alone = stack(inputs[row : row + 1, :length])
        for actual, wanted in zip(states, alone, strict=True):
            np.testing.assert_allclose(actual[row], wanted[0], atol=1e-5)


def test_dropout_is_between_layers_and_in_training_only():
    stack, inputs = stack_and_inputs("lstm", 2, 2, 4)
    np.testing.assert_array_equal(stack(inputs)[0], stack(inputs)[0])
    assert np.abs(stack(inputs, training=True)[0] - stack(inputs)[0]).max() > 1e-3
    single, inputs = stack_and_inputs("lstm", 1, 2, 4)
    np.testing.assert_allclose(single(inputs, training=True)[0], single(inputs)[0], atol=1e-6)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_a_saved_stack_opens_as_it_was(cell, tmp_path):
    inputs = keras.Input([None, 3])
    outputs, states = recurrent_stack(cell, 4, 2, dropout=0.1)(inputs)
    model = keras.Model(inputs, [outputs, *states])
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
    opened = keras.saving.load_model(tmp_path / "model.keras")
    for actual, wanted in zip(opened(x), model(x), strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_bidirectional_output_is_twice_as_wide():
    layer = recurrent_layer("gru", 4, bidirectional=True, return_sequences=True)
    assert layer(np.zeros([2, 3, 5], np.float32)).shape == (2, 3, 8)


def test_recurrent_initializer_reaches_every_layer():
    stack = recurrent_stack("simple_rnn", 4, 2, recurrent_initializer="identity")
    stack(np.zeros([1, 2, 3], np.float32))
    for layer in stack.layers:
        np.testing.assert_array_equal(layer.cell.recurrent_kernel, np.eye(4))


def test_an_unknown_cell_is_refused_with_the_valid_ones():
    with pytest.raises(ValueError, match="unknown cell 'ltsm'; the cells are: simple_rnn, lstm, gru"):
        recurrent_stack("ltsm", 4)

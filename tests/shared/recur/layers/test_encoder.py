"""The encoder: both directions, padding, merged states, files."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers.builders import CELLS, recurrent_encoder

pytestmark = pytest.mark.slow

FEATURES, UNITS = 3, 4
FORMS = {
    "concat": {"merge_mode": "concat"},
    "sum": {"merge_mode": "sum"},
    "forward": {"bidirectional": False},
}
each_form = pytest.mark.parametrize("form", FORMS)


def encoder_of(form, cell="gru", layers=1):
    keras.utils.set_random_seed(3)
    return recurrent_encoder(cell, UNITS, layers, dropout=0.5, **FORMS[form])


def inputs_of(batch, time):
    return np.random.default_rng(0).normal(size=(batch, time, FEATURES)).astype("float32")


@settings(max_examples=6, deadline=None, derandomize=True, database=None)
@given(
    form=st.sampled_from(sorted(FORMS)), cell=st.sampled_from(sorted(CELLS)), layers=st.integers(1, 2), data=st.data()
)
def test_padding_changes_nothing(form, cell, layers, data):
    encoder = encoder_of(form, cell, layers)
    lengths = np.array(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3), "lengths"))
    inputs = inputs_of(len(lengths), lengths.max() + 1)
    mask = np.arange(inputs.shape[1]) < lengths[:, None]
    outputs, states = encoder(np.where(mask[..., None], inputs, 1e3), mask=mask)
    for row, length in enumerate(lengths):
        alone, ends = encoder(inputs[row : row + 1, :length])
        np.testing.assert_allclose(outputs[row, :length], alone[0], atol=1e-5)
        for actual, wanted in zip(states, ends, strict=True):
            np.testing.assert_allclose(actual[row], wanted[0], atol=1e-5)


def test_the_states_of_both_directions_are_side_by_side_or_summed():
    inputs = inputs_of(2, 5)
    concat, total = encoder_of("concat", "lstm"), encoder_of("sum", "lstm")
    total(inputs)
    concat(inputs)
    total.set_weights(concat.get_weights())
    outputs, (h, c) = concat(inputs)
    # The half that reads forward ends at the last step, the half that reads backward at the first.
    np.testing.assert_array_equal(h[:, :UNITS], outputs[:, -1, :UNITS])
    np.testing.assert_array_equal(h[:, UNITS:], outputs[:, 0, UNITS:])
    for side_by_side, summed in zip((outputs, h, c), (total(inputs)[0], *total(inputs)[1]), strict=True):
        first, second = np.split(keras.ops.convert_to_numpy(side_by_side), 2, axis=-1)
        np.testing.assert_allclose(summed, first + second, atol=1e-6)


@each_form
def test_the_summary_is_the_top_layers_state(form):
    encoder = encoder_of(form, "lstm", 2)
    outputs, states = encoder(inputs_of(2, 5))
    assert encoder.summary(states) is states[2]
    assert encoder.summary(states).shape[-1] == outputs.shape[-1] == encoder.units


def test_dropout_is_between_layers_and_in_training_only():
    encoder, inputs = encoder_of("concat", layers=2), inputs_of(2, 4)
    np.testing.assert_array_equal(encoder(inputs)[0], encoder(inputs)[0])
    assert np.abs(encoder(inputs, training=True)[0] - encoder(inputs)[0]).max() > 1e-3


@each_form
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_a_saved_encoder_opens_as_it_was_and_masks_are_handed_on(form, tmp_path):
    symbols = keras.Input([None], dtype="int32")
    outputs, states = encoder_of(form, layers=2)(keras.layers.Embedding(9, FEATURES, mask_zero=True)(symbols))
    model = keras.Model(symbols, [outputs, *states])
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    padded, bare = np.array([[3, 5, 1, 0, 0]]), np.array([[3, 5, 1]])
    for actual, wanted, alone in zip(opened(padded), model(padded), model(bare), strict=True):
        np.testing.assert_array_equal(actual, wanted)
        np.testing.assert_allclose(wanted[:, :3] if len(wanted.shape) == 3 else wanted, alone, atol=1e-6)


def test_other_ways_of_merging_are_refused():
    with pytest.raises(ValueError, match="cannot merge states by 'mul'; the ways are: concat, sum"):
        recurrent_encoder("gru", UNITS, merge_mode="mul")

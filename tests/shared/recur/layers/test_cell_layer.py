"""A layer made of a cell is the layer that Keras makes of it."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers.regularization import CellLayer

FLAGS = ("return_sequences", "return_state", "go_backwards", "zero_output_for_mask", "unroll")


class Plain(CellLayer):
    cell_type = keras.layers.SimpleRNNCell


@settings(max_examples=5, deadline=None)
@given(**{flag: st.booleans() for flag in FLAGS})
def test_flags_and_masks_do_what_keras_says(**flags):
    ours, theirs = Plain(4, activation="relu", **flags), keras.layers.SimpleRNN(4, activation="relu", **flags)
    for layer in (ours, theirs):
        layer.build((2, 5, 3))
    ours.set_weights(theirs.get_weights())
    x, mask = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32"), np.arange(5) < [[3], [5]]
    actual, wanted = (keras.tree.flatten(layer(x, mask=keras.ops.array(mask))) for layer in (ours, theirs))
    for one, other in zip(actual, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_configuration_survives():
    options = {"use_bias": False, "dtype": "mixed_bfloat16", "name": "some", "trainable": False, "stateful": True}
    layer = Plain(4, activity_regularizer="l2", recurrent_dropout=0.2, seed=3, **options)
    opened = Plain.from_config(layer.get_config())
    assert opened.get_config() == layer.get_config()
    assert (opened.units, opened.name, opened.cell.compute_dtype) == (4, "some", "bfloat16")
    assert not opened.trainable


def test_what_the_cell_does_not_take_is_refused():
    with pytest.raises(ValueError, match=r"Unrecognized keyword arguments .*zoneout"):
        Plain(4, zoneout=0.1)

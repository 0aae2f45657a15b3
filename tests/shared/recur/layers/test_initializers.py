"""Initializers: what the gates' biases and kernels are, in both layouts, as layers get them."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers import recurrent
from recur.layers.initializers import (
    INITIALIZERS,
    BlockIdentity,
    BlockOrthogonal,
    ChronoBias,
    ForgetBias,
    initializer,
)

OPTIONS = {
    "chrono": {"units": 4, "t_max": 50.0, "seed": 3},
    "forget_bias": {"units": 4, "value": 2.5},
    "block_orthogonal": {"gain": 0.9, "seed": 3},
    "block_identity": {"gain": 0.1},
}
LAYOUTS = {
    "LSTM": lambda units: (4 * units,),
    "GRU": lambda units: (2, 3 * units),
    "old GRU": lambda units: (3 * units,),
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(layer):
    layer.build((None, None, 3))
    return {weight.name: np.asarray(weight) for weight in layer.weights}


@settings(max_examples=5, deadline=None)
@given(t_max=st.floats(2.5, 2000), seed=st.integers(0, 2**31 - 1))
def test_chrono_time_constants_are_spread_evenly_up_to_t_max(t_max, seed):
    i, f, g, o = np.split(np.asarray(ChronoBias(2000, t_max, seed)((8000,)), "float64"), 4)
    constants = 1 / (1 - sigmoid(f))
    deciles = np.quantile(constants, np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose((deciles - 2) / (t_max - 2), np.linspace(0.1, 0.9, 9), atol=0.06)
    assert 2 - 1e-3 < constants.min() < constants.max() < t_max * (1 + 1e-3)
    np.testing.assert_array_equal(i, -f)
    assert not g.any()
    assert not o.any()


@settings(max_examples=5, deadline=None)
@given(units=st.integers(1, 13), layout=st.sampled_from(sorted(LAYOUTS)), value=st.floats(-4, 4, width=32))
def test_biases_stand_in_the_gate_that_remembers(units, layout, value):
    shape = LAYOUTS[layout](units)
    for bias, lowest in ((ForgetBias(units, value)(shape), value), (ChronoBias(units, 9.0, 1)(shape), 0.0)):
        bias = np.array(bias)
        assert bias.shape == shape
        remembering = (slice(units, 2 * units),) if layout == "LSTM" else (0,) * (len(shape) - 1) + (slice(units),)
        assert (bias[remembering] >= lowest).all()
        bias[remembering] = 0
        assert not (bias[units:] if layout == "LSTM" else bias).any()


@pytest.mark.parametrize("make", [lambda units: ChronoBias(units, 20.0), lambda units: ForgetBias(units, 3.0)])
def test_a_bias_reaches_the_layers_and_a_wrapped_one_is_refused(make):
    for layer in (
        recurrent.LSTM(4, bias_initializer=make(4), unit_forget_bias=False),
        recurrent.GRU(4, bias_initializer=make(4)),
        recurrent.GRU(4, bias_initializer=make(4), reset_after=False),
    ):
        assert weights(layer)["bias"].any()
    with pytest.raises(ValueError, match=r"\[4\] is no bias .* unit_forget_bias=False"):
        weights(recurrent.LSTM(4, bias_initializer=make(4)))
    with pytest.raises(ValueError, match="is no bias of an LSTM or GRU of 5 units"):
        make(5)((16,))


def test_a_gru_with_chrono_biases_forgets_as_slowly_as_its_constants_say():
    layer = recurrent.GRU(50, bias_initializer=ChronoBias(50, 30.0, 0), kernel_initializer="zeros")
    layer.build((None, None, 1))
    layer.cell.recurrent_kernel.assign(np.zeros((50, 150)))
    constants = 1 / (1 - sigmoid(np.asarray(layer.cell.bias, "float64")[0, :50]))
    after = layer(np.zeros((1, 7, 1), "float32"), initial_state=keras.ops.ones((1, 50)))
    np.testing.assert_allclose(after[0], (1 - 1 / constants) ** 7, rtol=1e-4)


@settings(max_examples=5, deadline=None)
@given(units=st.integers(1, 12), gates=st.integers(1, 4), gain=st.floats(0.1, 2), seed=st.integers(0, 2**31 - 1))
def test_every_gate_has_an_orthogonal_matrix_of_its_own(units, gates, gain, seed):
    kernel = np.asarray(BlockOrthogonal(gain, seed)((units, gates * units)))
    blocks = np.split(kernel, gates, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, gain**2 * np.eye(units), atol=1e-5)
    if units > 1 and gates > 1:
        assert np.abs(blocks[0] - blocks[1]).max() > 1e-6


def test_orthogonal_blocks_are_distributed_uniformly():
    # Under the Haar measure the trace of Q has mean 0 and variance 1; QR without the signs mended has neither.
    blocks = np.asarray(BlockOrthogonal(seed=0)((3, 3 * 4000))).reshape(3, 4000, 3)
    traces = np.einsum("igi->g", blocks)
    assert abs(traces.mean()) < 0.06
    assert abs(traces.var() - 1) < 0.08


def test_every_gate_has_a_scaled_identity():
    kernel = weights(recurrent.LSTM(3, recurrent_initializer=BlockIdentity(0.5)))["recurrent_kernel"]
    np.testing.assert_array_equal(kernel, np.hstack([0.5 * np.eye(3)] * 4))
    irnn = recurrent.SimpleRNN(3, activation="relu", recurrent_initializer=BlockIdentity(), kernel_initializer="zeros")
    state = keras.ops.ones((1, 3))
    np.testing.assert_array_equal(irnn(np.ones((1, 9, 2), "float32"), initial_state=state), state)


@pytest.mark.parametrize("make", [BlockOrthogonal, BlockIdentity])
@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (4,)])
def test_what_is_no_recurrent_kernel_is_refused(make, shape):
    with pytest.raises(ValueError, match="is not the shape of a recurrent kernel"):
        make()(shape)


def test_chrono_needs_two_steps():
    with pytest.raises(ValueError, match=r"t_max is 1\.5"):
        ChronoBias(4, t_max=1.5)


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_configuration_survives_and_types_are_kept(name, dtype):
    made = initializer(name, **OPTIONS[name])
    opened = keras.initializers.deserialize(keras.initializers.serialize(made))
    assert opened.get_config() == made.get_config()
    shape = (16,) if "units" in OPTIONS[name] else (4, 12)
    assert made(shape, dtype).dtype == dtype
    np.testing.assert_array_equal(opened(shape, dtype), made(shape, dtype))


@pytest.mark.parametrize("name", ["chrono", "block_orthogonal"])
def test_seeds_are_those_of_keras(name):
    shape = (16,) if name == "chrono" else (4, 12)
    options = OPTIONS[name]

    def draw(**seed):
        return np.asarray(initializer(name, **options | seed)(shape))

    np.testing.assert_array_equal(draw(), draw())
    assert (draw() != draw(seed=4)).any()
    assert (draw(seed=None) != draw(seed=None)).any()
    generator = keras.random.SeedGenerator(1)
    assert (draw(seed=generator) != draw(seed=generator)).any()
    made = initializer(name, **options | {"seed": generator})
    opened = keras.initializers.deserialize(keras.initializers.serialize(made))
    assert (np.asarray(opened(shape)) != np.asarray(opened(shape))).any()
    keras.utils.set_random_seed(5)
    first = draw(seed=None)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(first, draw(seed=None))


def test_names_are_looked_up_and_unknown_ones_listed():
    assert isinstance(initializer("chrono", units=4, t_max=9.0), ChronoBias)
    made = initializer("orthogonal", gain=0.5)
    assert isinstance(made, keras.initializers.Orthogonal)
    assert made.gain == 0.5
    for name in ("ortogonal", "serialize", "get"):
        with pytest.raises(ValueError, match=f"unknown initializer '{name}'; .*chrono, .*block_identity.*orthogonal"):
            initializer(name)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_a_model_with_these_initializers_opens_as_it_was(tmp_path):
    layer = recurrent.LSTM(
        4, recurrent_initializer=BlockOrthogonal(), bias_initializer=ChronoBias(4, 9.0), unit_forget_bias=False
    )
    model = keras.Sequential([keras.Input((None, 3)), layer])
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    np.testing.assert_array_equal(opened(x), model(x))
    assert isinstance(opened.layers[0].bias_initializer, ChronoBias)

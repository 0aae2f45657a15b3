"""What is said of gradients, weights and gates is what NumPy says."""

import numpy as np
import pytest
import tensorflow as tf

from recur.gradients import statistics

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("units", "gates"), [(1, 1), (5, 4), (40, 3)])
@pytest.mark.parametrize("kind", ["normal", "orthogonal", "singular"])
def test_spectral_radii(units, gates, kind):
    generator = np.random.default_rng(units)
    blocks = generator.normal(size=(gates, units, units))
    if kind == "orthogonal":
        blocks = np.linalg.qr(blocks)[0] * 1.6
    if kind == "singular":
        blocks[:, :, 0] = 0
    expected = [np.abs(np.linalg.eigvals(block)).max() for block in blocks]
    kernel = tf.constant(np.concatenate(blocks, axis=1), tf.float32)
    compiled = tf.function(statistics.spectral_radii, jit_compile=True)
    for function in (statistics.spectral_radii, compiled):
        np.testing.assert_allclose(function(kernel), expected, rtol=0.02, atol=1e-6)


def test_spectral_radius_of_matrices_without_any():
    nilpotent = tf.constant([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert statistics.spectral_radii(nilpotent).numpy().tolist() == [0.0, 0.0]


def test_update_ratio():
    assert float(statistics.update_ratio(tf.constant([3.0, 4.0]), tf.constant([3.0, 4.5]))) == pytest.approx(
        0.5 / np.hypot(3, 4.5)
    )
    assert float(statistics.update_ratio(tf.zeros(2), tf.ones(2))) == 1
    assert float(statistics.update_ratio(tf.zeros(2), tf.zeros(2))) == 0


def test_units_without_gradient_have_none_in_any_weight():
    gradient = tf.constant([[[0.0, 1.0, 0.0]], [[0.0, 0.0, 2.0]]])
    assert statistics.without_gradient(gradient).numpy().tolist() == [True, False, False]
    assert statistics.without_gradient(tf.constant([0.0, float("nan")])).numpy().tolist() == [True, False]
    assert float(statistics.share_of_zeros(gradient)) == pytest.approx(4 / 6)


def test_saturated_at_either_bound():
    activations = tf.constant([[0.001, 0.5, 0.999, 0.02], [0.5, 0.5, 0.5, 0.5]])
    assert statistics.saturated(activations, "sigmoid").numpy().tolist() == [0.5, 0.0]
    assert statistics.saturated(2 * activations - 1, "tanh").numpy().tolist() == [0.5, 0.0]
    assert statistics.saturated(activations, "relu") is None

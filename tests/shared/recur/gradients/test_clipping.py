"""What the clipping rules promise, for any gradients."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.gradients import clipping
from recur.gradients.clipping import RULES, ClippingRule, NormHistory
from recur.gradients.statistics import global_norm, norms

pytestmark = pytest.mark.slow

ELEMENTS = st.floats(-1e4, 1e4, width=32, allow_subnormal=False).map(lambda x: 0.0 if abs(x) < 1e-4 else x)
SHAPES = st.sampled_from([(), (1,), (4,), (3, 2), (2, 2, 3)])
GRADIENTS = st.lists(
    SHAPES.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=ELEMENTS)), min_size=1, max_size=3
)
THRESHOLDS = st.floats(0.01, 100)
NORM_RULES = [clipping.by_norm, clipping.by_global_norm]

few = settings(max_examples=40, deadline=None)


def tensors(gradients: list[np.ndarray]) -> list[tf.Tensor]:
    return [tf.constant(gradient) for gradient in gradients]


def same(one: list[tf.Tensor], other: list[tf.Tensor]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@few
@given(GRADIENTS, THRESHOLDS)
def test_no_element_is_beyond_the_bound_of_the_value_rule(gradients: list[np.ndarray], threshold: float):
    gradients = tensors(gradients)
    clipped = clipping.by_value(gradients, threshold)
    for before, after in zip(gradients, clipped.gradients, strict=True):
        assert np.all(np.abs(after) <= np.float32(threshold))
        inside = np.abs(before) <= np.float32(threshold)
        assert np.array_equal(after.numpy()[inside], before.numpy()[inside])
        assert np.all(np.sign(after) == np.sign(before))


@few
@given(GRADIENTS, THRESHOLDS)
def test_the_norm_rules_keep_the_direction_and_the_bound(gradients: list[np.ndarray], threshold: float):
    gradients = tensors(gradients)
    clipped = clipping.by_norm(gradients, threshold)
    assert np.all(norms(clipped.gradients) <= threshold * (1 + 1e-5))
    whole = clipping.by_global_norm(gradients, threshold)
    assert float(global_norm(whole.gradients)) <= threshold * (1 + 1e-5)
    for before, after in zip(gradients, whole.gradients, strict=True):
        np.testing.assert_allclose(after, before * whole.scale, rtol=1e-5)
    for before, after, norm in zip(gradients, clipped.gradients, norms(gradients), strict=True):
        np.testing.assert_allclose(after, before * min(1.0, threshold / max(float(norm), 1e-30)), rtol=1e-5)


@few
@given(GRADIENTS)
def test_below_the_threshold_every_rule_returns_the_gradients_themselves(gradients: list[np.ndarray]):
    gradients = tensors(gradients)
    weights = [tf.fill(gradient.shape, 1e6) for gradient in gradients]
    for clipped in (
        clipping.by_value(gradients, 1e6),
        clipping.by_norm(gradients, 1e6),
        clipping.by_global_norm(gradients, 1e6),
        clipping.by_mean_norm(gradients, NormHistory(4), factor=1.01),
        clipping.by_percentile(gradients, NormHistory(4), percent=50.0),
        clipping.by_weight_norm(gradients, weights, threshold=1.0),
    ):
        assert same(clipped.gradients, gradients)
        assert float(clipped.scale) == 1


@few
@given(GRADIENTS, THRESHOLDS)
def test_the_scale_is_the_part_of_the_global_norm_that_is_left(gradients: list[np.ndarray], threshold: float):
    gradients = tensors(gradients)
    for rule in (clipping.by_value, *NORM_RULES):
        clipped = rule(gradients, threshold)
        before = float(global_norm(gradients))
        np.testing.assert_allclose(clipped.scale * before, global_norm(clipped.gradients), rtol=1e-4, atol=1e-6)


@few
@given(arrays.arrays(np.float32, (5, 3), elements=ELEMENTS), arrays.arrays(np.float32, (5, 3), elements=ELEMENTS))
def test_agc_bounds_every_unit_by_its_weights(gradient: np.ndarray, weight: np.ndarray):
    (after,), _ = clipping.by_weight_norm(tensors([gradient]), tensors([weight]), threshold=0.1, epsilon=1e-3)
    bound = 0.1 * np.maximum(np.linalg.norm(weight, axis=0), 1e-3)
    norm = np.linalg.norm(gradient, axis=0)
    expected = gradient * np.where(norm > bound, bound / np.maximum(norm, 1e-30), 1)
    np.testing.assert_allclose(after, expected, rtol=1e-4)


def test_agc_takes_a_vector_for_one_unit_and_all_but_the_last_axis_of_a_kernel_for_its_inputs():
    vector, kernel = tf.constant([3.0, 4.0]), tf.ones([3, 2, 2])
    clipped = clipping.by_weight_norm([vector, kernel], [tf.constant([1.0, 0.0]), tf.ones([3, 2, 2])], threshold=0.5)
    np.testing.assert_allclose(clipped.gradients[0], [0.3, 0.4], rtol=1e-6)
    np.testing.assert_allclose(clipped.gradients[1], np.full([3, 2, 2], 0.5), rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_autoclip_is_the_algorithm_of_its_paper_within_the_history(compiled: bool):
    history = NormHistory(8)
    clip = tf.function(lambda gradient: clipping.by_percentile([gradient], history, 30.0), jit_compile=compiled)
    observed: list[float] = []
    for norm in np.random.default_rng(0).lognormal(0, 2, 20).astype("float32"):
        observed.append(norm)
        limit = np.percentile(observed[-8:], 30)
        clipped = clip(tf.constant([0.6, 0.8]) * norm)
        np.testing.assert_allclose(global_norm(clipped.gradients), min(norm, limit), rtol=1e-5)


def test_the_mean_norm_rule_follows_the_mean_and_history_leaves_out_what_is_not_finite():
    history = NormHistory(3)
    for norm, limit in ((1.0, 1.5), (3.0, 3.0), (float("nan"), None), (8.0, 6.0), (7.0, 9.0)):
        clipped = clipping.by_mean_norm([tf.constant([norm])], history, 1.5)
        if limit is not None:
            np.testing.assert_allclose(global_norm(clipped.gradients), min(norm, limit), rtol=1e-6)
    assert history.variables[0].numpy().tolist() == [7, 3, 8]


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float16") for name in RULES), ("norm", "bfloat16"), ("agc", "float64")]
)
def test_every_rule_takes_sparse_and_half_precise_gradients_inside_xla(name: str, dtype: str):
    rule = ClippingRule(name)
    slices = tf.IndexedSlices(tf.fill([2, 3], tf.constant(600.0, dtype)), tf.constant([1, 1]), tf.constant([4, 3]))
    weights = [tf.ones([4, 3], dtype), tf.ones([2], dtype)]

    @tf.function(jit_compile=True)
    def clip():
        return rule([slices, tf.zeros([2], dtype)], weights)

    for _ in range(2):
        clipped = clip()
    assert [gradient.dtype.name for gradient in clipped.gradients] == [dtype, dtype]
    assert clipped.scale.dtype == tf.float32
    assert np.all(np.isfinite(clipped.gradients[0].numpy().astype("float64")))


def test_a_rule_that_does_not_exist_is_refused_with_a_list_of_those_that_do():
    with pytest.raises(ValueError, match="value, norm, global_norm, pascanu, autoclip, agc"):
        ClippingRule("globalnorm")


@pytest.mark.parametrize(
    ("name", "threshold"), [("value", 0.0), ("norm", -1.0), ("agc", float("nan")), ("autoclip", 101.0)]
)
def test_a_threshold_that_cannot_be_one_is_refused(name: str, threshold: float):
    with pytest.raises(ValueError, match="threshold"):
        ClippingRule(name, threshold)

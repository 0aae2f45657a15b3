"""The linear baselines learn what words say, whatever the bytes and however many the classes."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from apps.sentiment_analysis.baselines import (
    BASELINES,
    NaiveBayesWeighted,
    calibrated,
    fit_majority,
    fit_nbsvm,
    fit_tfidf,
    readable,
)

LINEAR = {name: fit for name, fit in BASELINES.items() if name != "majority"}
WORDS = ("dreadful boring waste", "fine enough plain", "lovely superb moving")
ODD = [b"", b"\x00", b"\xff\xfe", "🙂".encode(), "これは".encode(), b"<br />", b"zzzz " * 20_000]


def reviews(count, classes, seed=0):
    """Reviews of filler words, among which one or two words tell the class."""
    chooser = np.random.default_rng(seed)
    labels = chooser.integers(classes, size=count)
    kinds = WORDS if classes == 3 else WORDS[::2]
    filler = ["the", "a", "film", "plot", "actor", "scene", "it", "was", "in", "of", "and", "with"]
    texts = []
    for label in labels:
        words = [*chooser.choice(filler, 12), *chooser.choice(kinds[label].split(), 2)]
        texts.append(" ".join(chooser.permutation(words)).encode())
    return texts, labels


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", LINEAR)
def test_words_that_tell_are_learned(name, classes):
    predictor = LINEAR[name](*reviews(300, classes))
    texts, labels = reviews(100, classes, seed=1)
    probabilities = predictor.probabilities(texts)
    assert probabilities.shape == (100, classes)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.95


@pytest.mark.parametrize("name", BASELINES)
def test_any_bytes_get_probabilities(name):
    texts, labels = reviews(60, 3)
    predictor = BASELINES[name](texts + ODD, np.concatenate([labels, np.arange(len(ODD)) % 3]))
    probabilities = predictor.probabilities(ODD)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
    assert predictor.probabilities([]).shape == (0, 3)


@pytest.mark.parametrize("name", BASELINES)
def test_a_class_that_train_lacks_gets_nothing(name):
    texts, labels = reviews(60, 2)
    probabilities = BASELINES[name](texts, labels * 2, classes=4).probabilities(texts)
    assert probabilities.shape == (60, 4)
    assert not probabilities[:, [1, 3]].any()


@pytest.mark.parametrize("classes", [2, 3])
def test_calibration_changes_no_answer_and_lowers_the_log_loss(classes):
    texts, labels = reviews(300, classes)
    noisy = np.where(np.random.default_rng(2).random(300) < 0.2, 0, labels)
    predictor = fit_nbsvm(texts[:150], noisy[:150], classes=classes + 1)  # one class is never seen
    scaled = calibrated(predictor, texts[150:], noisy[150:])
    before, after = (each.probabilities(texts[150:]) for each in (predictor, scaled))
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    np.testing.assert_allclose(after.sum(axis=1), 1.0)
    losses = [log_loss(noisy[150:], each, labels=range(classes + 1)) for each in (before, after)]
    assert losses[1] < losses[0]
    assert scaled.probabilities([]).shape == (0, classes + 1)


def test_majority_says_the_frequencies():
    texts, labels = [b"a", b"b", b"c", b"d"], np.array([0, 1, 1, 1])
    np.testing.assert_allclose(fit_majority(texts, labels).probabilities([b"x", b""]), [[0.25, 0.75]] * 2)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize(
    ("texts", "labels"),
    [([b"", b"", b""], [0, 1, 1]), ([b"good film", b"good film", b"good"], [1, 1, 1]), ([b"good"], [0])],
)
def test_where_there_is_nothing_to_fit_it_is_the_majority(name, texts, labels):
    labels = np.array(labels)
    expected = fit_majority(texts, labels).probabilities([b"good"])
    np.testing.assert_allclose(LINEAR[name](texts, labels).probabilities([b"good"]), expected)


def test_words_too_rare_for_tfidf_leave_the_frequencies():
    np.testing.assert_allclose(
        fit_tfidf([b"one", b"two", b"three"], np.array([0, 1, 1])).probabilities([b"one"]), [[1 / 3, 2 / 3]]
    )


def test_the_log_count_ratio_by_hand():
    # Of the positive two rows both have word 0 and one has word 1: p = 1 + (2, 1), q = 1 + (0, 1), and
    # r = log (3/5) / (1/3), log (2/5) / (2/3). With β = 0 the weights are r times one number.
    features = scipy.sparse.csr_array(np.array([[1, 0], [1, 1], [0, 1]], np.float32))
    model = NaiveBayesWeighted(interpolation=0.0).fit(features, np.array([1, 1, 0]))
    ratio = np.log([9 / 5, 3 / 5])
    np.testing.assert_allclose(model.weights_ / model.weights_[0], ratio / ratio[0], rtol=1e-5)


def test_without_interpolation_it_is_the_linear_model_alone():
    texts, labels = reviews(200, 2)
    features = scipy.sparse.csr_array(
        np.array([[word in text for word in (b"superb", b"boring", b"film")] for text in texts], np.float32)
    )
    weights = [NaiveBayesWeighted(interpolation=beta).fit(features, labels).weights_ for beta in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(weights[1], (weights[0] + weights[2]) / 2, rtol=1e-5)


@given(st.binary(max_size=40))
def test_any_bytes_can_be_read(text):
    found = readable(text)
    assert found.encode("utf-8").decode("utf-8") == found


def test_html_breaks_part_words():
    assert readable(b"good<br /><br>film<BR/>.").split() == ["good", "film", "."]


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize(
    ("labels", "classes"), [([0], None), ([0, 2], 2), ([0, -1], None), ([0.0, 1.0], None), ([[0], [1]], None)]
)
def test_labels_that_do_not_fit_are_refused(name, labels, classes):
    with pytest.raises(ValueError, match="label"):
        BASELINES[name]([b"a", b"b"], np.array(labels), classes)


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="label"):
        fit_nbsvm([], np.array([], int))

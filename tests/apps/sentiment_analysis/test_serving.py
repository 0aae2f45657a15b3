"""A review gets the same answer from predict, the export and the C++ loader, whatever is beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from apps.sentiment_analysis.application import APPLICATION
from apps.sentiment_analysis.evaluate import logits
from recur.cli import commands
from recur.metrics.calibration import with_temperature
from recur.serving.saved_model import must_compile_functions, operations
from recur.training import loading
from recur.training.runs import Run
from tests.shared.recur.serving.asking import assert_asked_as_predicted
from tfserving_dev.session import NativeSavedModel

pytestmark = pytest.mark.slow

REVIEWS = [
    b"The plot was lovely, the tea was warm.",
    b"",
    b"every scene was DULL<br />and the cake was stale",
    b"unheard-of words entirely",
    "日本語 😀 zażółć".encode(),
    b"\xff\xfe broken \x00 bytes",
    b"the music was bitter " * 5000,
]


@pytest.fixture(scope="module")
def trained(tiny_sentiment_run: Path):
    return loading.load(APPLICATION, Run(tiny_sentiment_run))


@pytest.fixture(scope="module")
def module(trained):
    return APPLICATION.task.serving_module(trained)


@pytest.fixture(scope="module")
def exported(tiny_sentiment_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return commands.export(APPLICATION, str(tiny_sentiment_run), tmp_path_factory.mktemp("saved_models"))


def test_an_answer_is_its_rows_alone_and_what_evaluate_measures(trained, module):
    together = module.classify(tf.constant(REVIEWS))
    for row, review in enumerate(REVIEWS):
        alone = module.classify(tf.constant([review]))
        assert alone["label"][0] == together["label"][row]
        np.testing.assert_allclose(alone["probability"][0], together["probability"][row], atol=1e-6)
    measured = with_temperature(logits(trained, REVIEWS), trained.assets.temperature)[:, 1]
    np.testing.assert_allclose(together["probability"], measured, atol=1e-5)
    assert together["label"].numpy()[[0, 2]].tolist() == [b"good", b"bad"]


def test_no_review_is_no_answer(module):
    assert module.classify(tf.zeros([0], tf.string))["label"].shape == (0,)


def test_weights_add_up_to_the_difference_of_the_logits(module):
    found = module.explain(tf.constant(REVIEWS[:6]))
    difference = (found["margin"] - found["margin_of_nothing"]).numpy()
    np.testing.assert_allclose(found["weights"].numpy().sum(axis=1), difference, rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(tf.sigmoid(found["margin"]), found["probability"], atol=1e-5)
    assert found["tokens"].numpy()[0].tolist()[:4] == [b"the", b"plot", b"was", b"lovely"]
    after = found["tokens"].numpy() == b""
    after[:, 0] = False  # where a review without words has one that is unknown
    assert not found["weights"].numpy()[after].any()


def test_the_c_loader_answers_as_the_module_does(module, exported):
    assert must_compile_functions(exported) == []
    with NativeSavedModel(exported) as native:
        for name in ("serving_default", "explain"):
            texts = np.array(REVIEWS[:6], dtype=object)
            served = native.run({"text": texts}, name)
            expected = module.signatures[name](tf.constant(REVIEWS[:6]))
            assert set(served) == set(expected)
            for output, value in expected.items():
                if value.dtype == tf.string:
                    assert served[output].tolist() == value.numpy().tolist()
                else:
                    np.testing.assert_allclose(served[output], value, atol=1e-5)
    assert not {"PyFunc", "EagerPyFunc"} & set(operations(exported))


def test_the_command_line_answers(sentiment_analysis, tiny_sentiment_run):
    answer = sentiment_analysis("predict", tiny_sentiment_run, "the plot was lovely", "--json")
    (record,) = json.loads(answer.output)["answers"]
    assert (answer.status, record["label"]) == (0, "good")
    explained = sentiment_analysis("predict", tiny_sentiment_run, "--explain", "--json", stdin=b"so dull\n\n")
    first, second = json.loads(explained.output)["answers"]
    assert first["tokens"] == ["so", "dull"]
    assert len(first["weights"]) == 2
    assert second["tokens"] == second["weights"] == []
    shown = sentiment_analysis("predict", tiny_sentiment_run, "--explain", "the tea was stale \x1b[31m")
    assert "stale" in shown.output
    assert "\x1b[31m" not in shown.output
    page = sentiment_analysis(
        "predict", tiny_sentiment_run, "--explain", "--html", "page.html", "the <b>tea</b> was dull"
    )
    assert page.status == 0
    assert ">dull<" in Path("page.html").read_text()
    assert (
        "cannot write" in sentiment_analysis("predict", tiny_sentiment_run, "--explain", "--html", "no/a", "x").errors
    )


def test_a_server_is_asked_as_predict_answers(module, exported, capsys):
    inputs = [review.decode("utf-8", "surrogateescape") for review in REVIEWS]
    assert_asked_as_predicted(APPLICATION, module, exported, inputs, capsys)
    assert_asked_as_predicted(APPLICATION, module, exported, inputs[:6], capsys, "--explain", explain=True)

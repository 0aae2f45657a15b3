"""The evaluation says all it should, in plain finite values, and draws."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from apps.translation.report import evaluate

TRAIN = SimpleNamespace(
    sources=["a man sits .", "a man runs .", "a dog sits .", "the dog runs ."] * 5,
    targets=["ein Mann sitzt .", "ein Mann rennt .", "ein Hund sitzt .", "der Hund rennt ."] * 5,
)
TEST = SimpleNamespace(
    sources=["The man runs today.", "A dog sits and runs."],
    targets=["Der Mann rennt heute.", "Ein Hund sitzt und rennt."],
)
CORPUS = SimpleNamespace(train=TRAIN, validation=TEST, test=TEST)
ATTENTION = [(["▁a", "▁man"], ["▁ein", "▁Mann", "</s>"], np.full((3, 2), 0.5))]


def test_the_report_is_complete(tmp_path):
    found = evaluate(TEST.targets, CORPUS, "de", ATTENTION, tmp_path, {"beam": 5}, "en")
    assert (found.split, found.examples) == ("test", 2)
    assert found.metrics == pytest.approx({"bleu": 100.0, "chrf": 100.0, "bleu_lower_tok": 100.0})
    assert found.baselines.keys() == {"copy_source", "dictionary"}
    for baseline in found.baselines.values():
        assert baseline.keys() == found.metrics.keys()
        assert all(math.isfinite(value) for value in baseline.values())
    assert found.baselines["dictionary"]["chrf"] > found.baselines["copy_source"]["chrf"]
    wanted = {"beam", "signatures", "bleu_95", "bleu_by_length", "worst", "random"}
    assert found.details.keys() == wanted
    assert json.loads(json.dumps(found.details, allow_nan=False)) == found.details
    assert sorted(each.name for each in tmp_path.iterdir()) == ["attention.png", "bleu_by_length.png"]


def test_without_attention_there_is_no_map(tmp_path):
    found = evaluate(["", ""], CORPUS, "de", [], tmp_path, {}, "en")
    assert found.metrics == {"bleu": 0.0, "chrf": 0.0, "bleu_lower_tok": 0.0}
    assert [each.name for each in tmp_path.iterdir()] == ["bleu_by_length.png"]


def test_a_translation_too_few_is_refused(tmp_path):
    with pytest.raises(ValueError, match="as many"):
        evaluate(["one"], CORPUS, "de", [], tmp_path, {}, "en")

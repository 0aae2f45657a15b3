"""The evaluation says all it should, in plain finite values, and draws."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from apps.translation.config import TranslationConfig
from apps.translation.evaluate import compared, examples

TRAIN = SimpleNamespace(
    sources=["a man sits .", "a man runs .", "a dog sits .", "the dog runs ."] * 5,
    targets=["ein Mann sitzt .", "ein Mann rennt .", "ein Hund sitzt .", "der Hund rennt ."] * 5,
)
TEST = SimpleNamespace(
    sources=["The man runs today.", "A dog sits and runs."],
    targets=["Der Mann rennt heute.", "Ein Hund sitzt und rennt."],
)
CONFIG = TranslationConfig(source="en", target="de")
CORPUS = SimpleNamespace(train=TRAIN, validation=TEST, test=TEST)
ATTENTION = [(["▁a", "▁man"], ["▁ein", "▁Mann", "</s>"], np.full((3, 2), 0.5))]


def test_the_report_is_complete(tmp_path):
    evaluation = compared(TEST.targets, ATTENTION, CORPUS, CONFIG, tmp_path)
    assert (evaluation.split, evaluation.examples) == ("test", 2)
    assert evaluation.metrics == pytest.approx({"bleu": 100.0, "chrf": 100.0, "bleu_lower_tok": 100.0})
    assert evaluation.baselines.keys() == {"copy_source", "dictionary"}
    for baseline in evaluation.baselines.values():
        assert baseline.keys() == evaluation.metrics.keys()
        assert all(math.isfinite(value) for value in baseline.values())
    assert evaluation.baselines["dictionary"]["chrf"] > evaluation.baselines["copy_source"]["chrf"]
    decoding = {"beam_width", "length_penalty", "coverage_penalty"}
    wanted = decoding | {"signatures", "bleu_95", "bleu_by_length", "worst", "random"}
    assert evaluation.details.keys() == wanted
    assert json.loads(json.dumps(evaluation.details, allow_nan=False)) == evaluation.details
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attention.png", "bleu_by_length.png"]


def test_without_attention_there_is_no_map(tmp_path):
    evaluation = compared(["", ""], [], CORPUS, CONFIG, tmp_path)
    assert evaluation.metrics == {"bleu": 0.0, "chrf": 0.0, "bleu_lower_tok": 0.0}
    assert [path.name for path in tmp_path.iterdir()] == ["bleu_by_length.png"]


def test_a_translation_too_few_is_refused(tmp_path):
    with pytest.raises(ValueError, match="as many"):
        compared(["one"], [], CORPUS, CONFIG, tmp_path)


REFERENCES = ["Ein Mann sitzt auf einer Bank.", "Zwei Hunde laufen durch den Schnee.", "Eine Frau liest ein Buch."]


def test_the_worst_come_first_and_chance_is_seeded():
    hypotheses = [*REFERENCES * 10, "falsch"]
    references = [*REFERENCES * 10, "Ein Kind spielt."]
    chosen = examples(references, hypotheses, references)
    assert {name: len(rows) for name, rows in chosen.items()} == {"worst": 20, "random": 20}
    assert chosen["worst"][0]["hypothesis"] == "falsch"
    assert chosen["worst"][1]["chrf"] == 100.0
    other = examples(references, ["x"] * 31, references)
    assert [row["source"] for row in chosen["random"]] == [row["source"] for row in other["random"]]
    assert json.loads(json.dumps(chosen, allow_nan=False)) == chosen


@pytest.mark.parametrize("odd", ["", "   ", "\x00", "🙂", "wort " * 5000])
def test_odd_translations_are_examples_too(odd):
    assert len(examples(REFERENCES, [odd] * 3, REFERENCES)["worst"]) == 3

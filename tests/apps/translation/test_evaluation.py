"""Scores are sacreBLEU's; those on lower-case Moses tokens are what is counted by hand."""

import json

import pytest
import sacrebleu

from apps.translation.evaluation import by_length, examples, interval, scores, signatures

METRICS = ("bleu", "chrf", "bleu_lower_tok")
REFERENCES = ["Ein Mann sitzt auf einer Bank.", "Zwei Hunde laufen durch den Schnee.", "Eine Frau liest ein Buch."]
HYPOTHESES = ["Ein Mann sitzt auf der Bank.", "Zwei Hunde rennen durch den Schnee.", "Eine Frau liest."]


def test_scores_are_those_of_sacrebleu():
    found = scores(HYPOTHESES, REFERENCES, "de")
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score)


def test_lower_case_tokens_by_hand():
    # der mann sagt : " los ! "   against   der mann ruft : " los ! ": 7 of 8 words, 5 of 7 pairs, 3 of 6 triples and
    # 2 of 5 fours are right; the lengths are equal.
    found = scores(["Der Mann sagt: „Los!“"], ['der Mann ruft: "Los!"'], "de")
    assert found["bleu_lower_tok"] == pytest.approx(100 * (7 / 8 * 5 / 7 * 3 / 6 * 2 / 5) ** 0.25)


def test_without_a_right_four_there_is_no_score_as_in_multi_bleu():
    found = scores(["Ein Hund läuft ."], ["Ein Hund rennt ."], "de")
    assert found["bleu_lower_tok"] == 0.0
    assert found["bleu"] > 0.0


@pytest.mark.parametrize("language", ["de", "fr", "en", "xx", ""])
def test_the_reference_itself_is_perfect(language):
    assert scores(REFERENCES, REFERENCES, language) == pytest.approx(dict.fromkeys(METRICS, 100.0))


@pytest.mark.parametrize("odd", ["", "   ", "\x00", "🙂", "...", "これは本です", "a\tb", "wort " * 5000])
def test_odd_translations_are_measured(odd):
    found = scores([odd] * 3, REFERENCES, "de")
    assert all(type(value) is float and 0 <= value < 20 for value in found.values())
    assert interval([odd] * 3, REFERENCES)["low"] <= found["bleu"] + 1e-6
    assert len(by_length(["", "a", "b " * 60], [odd] * 3, REFERENCES)) == 2
    assert len(examples(REFERENCES, [odd] * 3, REFERENCES)["worst"]) == 3


def test_nothing_said_scores_nothing():
    assert scores([""] * 3, REFERENCES, "de") == {"bleu": 0.0, "chrf": 0.0, "bleu_lower_tok": 0.0}
    found = interval([""] * 3, REFERENCES)
    assert (found["low"], found["high"]) == (0.0, 0.0)


def test_the_interval_holds_the_score_and_is_the_same_again():
    hypotheses, references = HYPOTHESES * 50, REFERENCES * 50
    found = interval(hypotheses, references)
    assert found["low"] < scores(hypotheses, references, "de")["bleu"] < found["high"]
    assert found == interval(hypotheses, references)
    assert "bs:1000|seed:12345" in found["signature"]


def test_signatures_say_how_was_counted():
    found = signatures("de")
    assert found.keys() == scores(HYPOTHESES, REFERENCES, "de").keys()
    assert "tok:13a" in found["bleu"]
    assert "case:lc" in found["bleu_lower_tok"]
    assert "tokenizer -l de" in found["bleu_lower_tok"]


def test_groups_of_length():
    sources = ["one two three four five", "one " * 6, "one " * 51]
    found = by_length(sources, [REFERENCES[0], "", REFERENCES[2]], REFERENCES)
    assert [(each["words"], each["sentences"]) for each in found] == [("1–5", 1), ("6–10", 1), ("over 50", 1)]
    assert [each["bleu"] for each in found] == pytest.approx([100.0, 0.0, 100.0])


def test_the_worst_come_first_and_chance_is_seeded():
    hypotheses = [*REFERENCES * 10, "falsch"]
    references = [*REFERENCES * 10, "Ein Kind spielt."]
    found = examples(references, hypotheses, references)
    assert {name: len(each) for name, each in found.items()} == {"worst": 20, "random": 20}
    assert found["worst"][0]["hypothesis"] == "falsch"
    assert found["worst"][1]["chrf"] == 100.0
    other = examples(references, ["x"] * 31, references)
    assert [each["source"] for each in found["random"]] == [each["source"] for each in other["random"]]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(("hypotheses", "references"), [([], []), (["a"], []), (["a"], ["b", "c"])])
def test_what_does_not_fit_is_refused(hypotheses, references):
    for measure in (lambda *each: scores(*each, "de"), interval, lambda *each: by_length(each[0], *each)):
        with pytest.raises(ValueError, match="as many on every side"):
            measure(hypotheses, references)

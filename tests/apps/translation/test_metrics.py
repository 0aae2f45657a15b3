"""Scores are sacreBLEU's; those on lower-case Moses tokens are what is counted by hand."""

import pytest
import sacrebleu

from apps.translation.metrics import by_length, interval, scores, signatures

METRICS = ("bleu", "chrf", "bleu_lower_tok")
REFERENCES = ["Ein Mann sitzt auf einer Bank.", "Zwei Hunde laufen durch den Schnee.", "Eine Frau liest ein Buch."]
HYPOTHESES = ["Ein Mann sitzt auf der Bank.", "Zwei Hunde rennen durch den Schnee.", "Eine Frau liest."]


def test_scores_are_those_of_sacrebleu():
    measured = scores(HYPOTHESES, REFERENCES, "de")
    assert measured["bleu"] == pytest.approx(sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score)
    assert measured["chrf"] == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score)


def test_lower_case_tokens_by_hand():
    # der mann sagt : " los ! "   against   der mann ruft : " los ! ": 7 of 8 words, 5 of 7 pairs, 3 of 6 triples and
    # 2 of 5 fours are right; the lengths are equal.
    measured = scores(["Der Mann sagt: „Los!“"], ['der Mann ruft: "Los!"'], "de")
    assert measured["bleu_lower_tok"] == pytest.approx(100 * (7 / 8 * 5 / 7 * 3 / 6 * 2 / 5) ** 0.25)


def test_without_a_right_four_there_is_no_score_as_in_multi_bleu():
    measured = scores(["Ein Hund läuft ."], ["Ein Hund rennt ."], "de")
    assert measured["bleu_lower_tok"] == 0.0
    assert measured["bleu"] > 0.0


@pytest.mark.parametrize("language", ["de", "fr", "en", "xx", ""])
def test_the_reference_itself_is_perfect(language):
    assert scores(REFERENCES, REFERENCES, language) == pytest.approx(dict.fromkeys(METRICS, 100.0))


@pytest.mark.parametrize("odd", ["", "   ", "\x00", "🙂", "...", "これは本です", "a\tb", "wort " * 5000])
def test_odd_translations_are_measured(odd):
    measured = scores([odd] * 3, REFERENCES, "de")
    assert all(type(value) is float and 0 <= value < 20 for value in measured.values())
    assert interval([odd] * 3, REFERENCES)["low"] <= measured["bleu"] + 1e-6
    assert len(by_length(["", "a", "b " * 60], [odd] * 3, REFERENCES)) == 2


def test_nothing_said_scores_nothing():
    assert scores([""] * 3, REFERENCES, "de") == {"bleu": 0.0, "chrf": 0.0, "bleu_lower_tok": 0.0}
    bounds = interval([""] * 3, REFERENCES)
    assert (bounds["low"], bounds["high"]) == (0.0, 0.0)


def test_the_interval_holds_the_score_and_is_the_same_again():
    hypotheses, references = HYPOTHESES * 50, REFERENCES * 50
    bounds = interval(hypotheses, references)
    assert bounds["low"] < scores(hypotheses, references, "de")["bleu"] < bounds["high"]
    assert bounds == interval(hypotheses, references)
    assert "bs:1000|seed:12345" in bounds["signature"]


def test_signatures_say_how_was_counted():
    texts = signatures("de")
    assert texts.keys() == scores(HYPOTHESES, REFERENCES, "de").keys()
    assert "tok:13a" in texts["bleu"]
    assert "case:lc" in texts["bleu_lower_tok"]
    assert "tokenizer -l de" in texts["bleu_lower_tok"]


def test_groups_of_length():
    sources = ["one two three four five", "one " * 6, "one " * 51]
    groups = by_length(sources, [REFERENCES[0], "", REFERENCES[2]], REFERENCES)
    assert [(group["words"], group["sentences"]) for group in groups] == [("1–5", 1), ("6–10", 1), ("over 50", 1)]
    assert [group["bleu"] for group in groups] == pytest.approx([100.0, 0.0, 100.0])


@pytest.mark.parametrize(("hypotheses", "references"), [([], []), (["a"], []), (["a"], ["b", "c"])])
def test_what_does_not_fit_is_refused(hypotheses, references):
    for measure in (lambda *sides: scores(*sides, "de"), interval, lambda *sides: by_length(sides[0], *sides)):
        with pytest.raises(ValueError, match="as many on every side"):
            measure(hypotheses, references)

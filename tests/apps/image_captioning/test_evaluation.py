"""Scores are what is counted by hand."""

import json
import math

import pytest

from apps.image_captioning.evaluation import cider_d, diversity, exact_match, examples, scores, signatures

HYPOTHESES = ["The cat sat on the mat.", "a dog runs on grass"]
REFERENCES = [["The cat is on the mat .", "There is a cat on the mat."], ["A dog runs on green grass ."]]


def test_bleu_by_hand():
    # Of the first 5/6, 3/5, 1/4 and 0/3 are right, of the second 5/5, 3/4, 2/3 and 1/2. They have 11 words, the
    # references nearest in length 6 and 6.
    penalty = math.exp(1 - 12 / 11)
    precisions = [10 / 11, 6 / 9, 3 / 7, 1 / 5]
    found = scores(HYPOTHESES, REFERENCES)
    for order in range(1, 5):
        mean = math.prod(precisions[:order]) ** (1 / order)
        assert found[f"bleu{order}"] == pytest.approx(100 * penalty * mean)
    assert found["bleu4_no_penalty"] == pytest.approx(found["bleu4"] / penalty)


def test_without_a_right_four_there_is_no_bleu4():
    found = scores(HYPOTHESES[:1], REFERENCES[:1])
    assert found["bleu4"] == found["bleu4_no_penalty"] == 0.0
    assert found["bleu3"] > 0


def test_rouge_l_by_hand():
    # "the cat … on the mat" is 5 of 6 words of either side; precision and recall are each the best over references.
    found = [5 / 6, (1 + 1.44) * 1 * (5 / 6) / (5 / 6 + 1.44)]
    assert scores(HYPOTHESES, REFERENCES)["rouge_l"] == pytest.approx(100 * sum(found) / 2)


def test_cider_d_by_hand():
    # "a" is in both images and weighs nothing; all else weighs log 2. A caption twice as long agrees in a half of its
    # single words, in 1/√5 of its pairs, and in no triples, and is two words off in length.
    assert cider_d(["a dog", "a dog"], [["a dog"], ["a cat"]]).tolist() == pytest.approx([5.0, 0.0])
    assert scores(["a dog", "a dog"], [["a dog"], ["a cat"]])["cider"] == pytest.approx(250)
    (found, _) = cider_d(["a dog a dog", "x"], [["a dog"], ["a cat"]])
    assert found == pytest.approx(10 * (0.5 + 1 / math.sqrt(5)) / 4 * math.exp(-4 / 72))


def test_a_reference_itself():
    references = [[f"number {number} of all captions here", "another"] for number in range(4)]
    found = scores([each[0] for each in references], references)
    assert found.pop("cider") > 400
    assert found == pytest.approx(dict.fromkeys(found, 100.0))


def test_case_and_punctuation_do_not_count():
    assert scores(["A DOG, runs on grass!"] * 2, REFERENCES) == scores(["a dog runs on grass"] * 2, REFERENCES)


@pytest.mark.parametrize("odd", ["", " . ", "🙂", "a " * 2000, "\x00"])
def test_odd_captions_are_measured(odd):
    found = scores([odd] * 2, REFERENCES)
    assert all(type(value) is float and 0 <= value < 40 for value in found.values())
    assert json.dumps(examples(["a", "b"], [odd] * 2, REFERENCES), allow_nan=False)


def test_signatures_say_how_was_counted():
    found = signatures(REFERENCES)
    assert "tok:none|smooth:none" in found["bleu4"]
    assert signatures([["a"] * 5])["bleu4"].startswith("nrefs:5|")
    assert found["cider"].startswith("pycocoevalcap 1.")


def test_diversity_by_hand():
    found = diversity(["A dog runs.", "a dog runs", "a cat"], [["A dog runs"], ["a bird", "two"]], vocabulary=8)
    assert found == pytest.approx(
        {
            "novelty": 1 / 3,
            "distinct_captions": 2 / 3,
            "words_used": 4,
            "vocabulary_use": 4 / 8,
            "distinct_1": 4 / 8,
            "distinct_2": 3 / 5,
            "mean_words": 8 / 3,
        }
    )
    assert diversity([""], [], 0)["distinct_2"] == 0.0


def test_exact_match_by_group():
    hypotheses = ["A dog .", "a cat", "a bird"]
    references = [["two dogs", "a dog"], ["a dog"], ["a bird"]]
    assert exact_match(hypotheses, references, ["seen", "unseen", "seen"]) == {"all": 2 / 3, "seen": 1.0, "unseen": 0.0}
    assert exact_match(hypotheses, references, []) == {"all": 2 / 3}
    with pytest.raises(ValueError, match="a group for each of 3"):
        exact_match(hypotheses, references, ["seen"])


def test_the_worst_come_first_and_chance_is_seeded():
    references = [[f"image {number} has words", "other words"] for number in range(30)]
    hypotheses = [each[0] for each in references[:-1]] + ["nothing at all"]
    names = [f"{number}.jpg" for number in range(30)]
    found = examples(names, hypotheses, references)
    assert {name: len(each) for name, each in found.items()} == {"worst": 20, "random": 20}
    assert found["worst"][0] == {
        "image": "29.jpg",
        "caption": "nothing at all",
        "references": references[29],
        "cider": 0.0,
    }
    other = examples(names, ["x"] * 30, references)
    assert [each["image"] for each in found["random"]] == [each["image"] for each in other["random"]]


@pytest.mark.parametrize(
    ("hypotheses", "references"), [([], []), (["a"], []), (["a"], [["b"], ["c"]]), (["a", "b"], [["a"], []])]
)
def test_what_does_not_fit_is_refused(hypotheses, references):
    for measure in (scores, cider_d, lambda *each: exact_match(*each, [])):
        with pytest.raises(ValueError, match="need captions, and references for each"):
            measure(hypotheses, references)

"""Scores are what is counted by hand, and CIDEr by the thousand is CIDEr one by one."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.image_captioning.metrics import (
    CiderSpace,
    cider_d,
    diversity,
    exact_match,
    examples,
    scores,
    signatures,
)

HYPOTHESES = ["The cat sat on the mat.", "a dog runs on grass"]
REFERENCES = [["The cat is on the mat .", "There is a cat on the mat."], ["A dog runs on green grass ."]]
CAPTION = st.lists(st.sampled_from("abcde"), max_size=7).map(" ".join)
IMAGES = st.lists(st.tuples(CAPTION, st.lists(CAPTION, min_size=1, max_size=3)), min_size=1, max_size=5)


def test_bleu_by_hand():
    # Of the first 5/6, 3/5, 1/4 and 0/3 are right, of the second 5/5, 3/4, 2/3 and 1/2. They have 11 words, the
    # references nearest in length 6 and 6.
    penalty = math.exp(1 - 12 / 11)
    precisions = [10 / 11, 6 / 9, 3 / 7, 1 / 5]
    result = scores(HYPOTHESES, REFERENCES)
    for order in range(1, 5):
        mean = math.prod(precisions[:order]) ** (1 / order)
        assert result[f"bleu{order}"] == pytest.approx(100 * penalty * mean)
    assert result["bleu4_no_penalty"] == pytest.approx(result["bleu4"] / penalty)


def test_without_a_right_four_there_is_no_bleu4():
    result = scores(HYPOTHESES[:1], REFERENCES[:1])
    assert result["bleu4"] == result["bleu4_no_penalty"] == 0.0
    assert result["bleu3"] > 0


def test_rouge_l_by_hand():
    # "the cat … on the mat" is 5 of 6 words of either side; precision and recall are each the best over references.
    result = [5 / 6, (1 + 1.44) * 1 * (5 / 6) / (5 / 6 + 1.44)]
    assert scores(HYPOTHESES, REFERENCES)["rouge_l"] == pytest.approx(100 * sum(result) / 2)


def test_cider_d_by_hand():
    # "a" is in both images and weighs nothing; all else weighs log 2. A caption twice as long agrees in a half of its
    # single words, in 1/√5 of its pairs, and in no triples, and is two words off in length.
    assert cider_d(["a dog", "a dog"], [["a dog"], ["a cat"]]).tolist() == pytest.approx([5.0, 0.0])
    assert scores(["a dog", "a dog"], [["a dog"], ["a cat"]])["cider"] == pytest.approx(250)
    (result, _) = cider_d(["a dog a dog", "x"], [["a dog"], ["a cat"]])
    assert result == pytest.approx(10 * (0.5 + 1 / math.sqrt(5)) / 4 * math.exp(-4 / 72))


def test_a_reference_itself():
    references = [[f"number {number} of all captions here", "another"] for number in range(4)]
    result = scores([texts[0] for texts in references], references)
    assert result.pop("cider") > 400
    assert result == pytest.approx(dict.fromkeys(result, 100.0))


def test_case_and_punctuation_do_not_count():
    assert scores(["A DOG, runs on grass!"] * 2, REFERENCES) == scores(["a dog runs on grass"] * 2, REFERENCES)


@pytest.mark.parametrize("odd", ["", " . ", "🙂", "a " * 2000, "\x00"])
def test_odd_captions_are_measured(odd):
    result = scores([odd] * 2, REFERENCES)
    assert all(type(value) is float and 0 <= value < 40 for value in result.values())
    assert json.dumps(examples(["a", "b"], [odd] * 2, REFERENCES), allow_nan=False)


def test_signatures_say_how_was_counted():
    result = signatures(REFERENCES)
    assert "tok:none|smooth:none" in result["bleu4"]
    assert signatures([["a"] * 5])["bleu4"].startswith("nrefs:5|")
    assert result["cider"].startswith("pycocoevalcap 1.")


def test_diversity_by_hand():
    result = diversity(["A dog runs.", "a dog runs", "a cat"], [["A dog runs"], ["a bird", "two"]], vocabulary=8)
    assert result == pytest.approx(
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
    hypotheses = [texts[0] for texts in references[:-1]] + ["nothing at all"]
    names = [f"{number}.jpg" for number in range(30)]
    result = examples(names, hypotheses, references)
    assert {name: len(rows) for name, rows in result.items()} == {"worst": 20, "random": 20}
    assert result["worst"][0] == {
        "image": "29.jpg",
        "caption": "nothing at all",
        "references": references[29],
        "cider": 0.0,
    }
    other = examples(names, ["x"] * 30, references)
    assert [row["image"] for row in result["random"]] == [row["image"] for row in other["random"]]


@pytest.mark.parametrize(
    ("hypotheses", "references"), [([], []), (["a"], []), (["a"], [["b"], ["c"]]), (["a", "b"], [["a"], []])]
)
def test_what_does_not_fit_is_refused(hypotheses, references):
    for measure in (scores, cider_d, lambda *texts: exact_match(*texts, [])):
        with pytest.raises(ValueError, match="need captions, and references for each"):
            measure(hypotheses, references)


@settings(max_examples=60, deadline=None)
@given(IMAGES)
def test_on_the_same_references_it_is_the_scorer_of_the_coco_evaluation(images):
    hypotheses, references = [text for text, _ in images], [texts for _, texts in images]
    result = CiderSpace(references).cider_d(hypotheses, references)
    np.testing.assert_allclose(result, cider_d(hypotheses, references), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(IMAGES, st.lists(CAPTION, min_size=1, max_size=4))
def test_products_of_units_are_cosines(images, captions):
    units = CiderSpace(texts for _, texts in images).units([*captions, *captions])
    result = (units @ units.T).toarray()
    assert result.min() >= 0
    assert result.max() <= 1 + 1e-9
    np.testing.assert_allclose(result, result.T)
    assert (np.diag(result) >= result.max(axis=1) - 1e-9).all()


def test_cider_by_hand():
    # "a" is in every image. Of two captions of four words one differs: single words agree in 1 of 2 that weigh, pairs
    # in 1 of 3, triples and fours in none.
    units = CiderSpace([["a dog a cat"], ["a"], ["a"]]).units(["a dog a cat", "a dog a bird"])
    words = 1 / 2
    pairs = 2 / 3
    triples = 1 / 2
    assert (units @ units.T).toarray()[0, 1] == pytest.approx((words + pairs + triples) / 4)


def test_the_weights_are_those_of_train_whatever_is_asked():
    space = CiderSpace([["a dog runs"], ["a cat runs"], ["two birds"]])
    first = space.cider_d(["a dog runs"], [["a dog runs", "the dog"]])
    space.cider_d(["new words here"] * 50, [["other new words"]] * 50)
    assert space.cider_d(["A dog, runs."], [["a dog runs", "the dog"]]) == pytest.approx(first)
    assert space.cider_d([], []).shape == (0,)


def test_captions_and_references_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="one image at least"):
        CiderSpace([])
    space = CiderSpace([["a"]])
    for hypotheses, references in ((["a"], []), (["a"], [[]]), ([], [["a"]])):
        with pytest.raises(ValueError, match="need references for each"):
            space.cider_d(hypotheses, references)

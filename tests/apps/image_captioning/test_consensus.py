"""CIDEr by the thousand is CIDEr one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.image_captioning.consensus import CiderSpace
from apps.image_captioning.evaluation import cider_d

CAPTION = st.lists(st.sampled_from("abcde"), max_size=7).map(" ".join)
IMAGES = st.lists(st.tuples(CAPTION, st.lists(CAPTION, min_size=1, max_size=3)), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(IMAGES)
def test_on_the_same_references_it_is_the_scorer_of_the_coco_evaluation(images):
    hypotheses, references = [text for text, _ in images], [each for _, each in images]
    found = CiderSpace(references).cider_d(hypotheses, references)
    np.testing.assert_allclose(found, cider_d(hypotheses, references), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(IMAGES, st.lists(CAPTION, min_size=1, max_size=4))
def test_products_of_units_are_cosines(images, captions):
    units = CiderSpace(each for _, each in images).units([*captions, *captions])
    found = (units @ units.T).toarray()
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-9
    np.testing.assert_allclose(found, found.T)
    assert (np.diag(found) >= found.max(axis=1) - 1e-9).all()


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


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="one image at least"):
        CiderSpace([])
    space = CiderSpace([["a"]])
    for hypotheses, references in ((["a"], []), (["a"], [[]]), ([], [["a"]])):
        with pytest.raises(ValueError, match="need references for each"):
            space.cider_d(hypotheses, references)

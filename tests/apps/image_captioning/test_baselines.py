"""One caption for all, and the captions of neighbours."""

import numpy as np
import pytest

from apps.image_captioning.baselines import fit_retrieval, most_frequent_caption, nearest

CAPTIONS = [
    ["A dog runs .", "A dog plays in the snow ."],
    ["a dog runs", "A brown dog plays in snow ."],
    ["two men", "two men"],
    ["A dog plays in the deep snow .", "the snow"],
]


def clusters(count=60, seed=0, misleading=0.0):
    """Images of three kinds, far apart, with captions that say the kind, and in some a wrong one."""
    random = np.random.default_rng(seed)
    kinds = random.integers(3, size=count)
    features = np.eye(3, 8)[kinds] * 5 + random.normal(size=(count, 8)) * 0.3
    sentences = ["a dog runs in the grass", "two men sit on a bench", "a child jumps into water"]
    wrong = (kinds + 1) % 3
    said = np.where(random.random(count) < misleading, wrong, kinds)
    captions = [[sentences[kind], f"{sentences[kind]} again", f"something {random.integers(99)}"] for kind in said]
    return features.astype(np.float32), captions, [sentences[kind] for kind in kinds]


def test_the_most_frequent_caption_counts_each_image_once():
    assert most_frequent_caption(CAPTIONS) == "a dog runs"
    assert most_frequent_caption([["two men", "two men"], ["a dog."], ["A dog"]]) == "a dog"


def test_of_captions_equally_frequent_the_most_typical():
    captions = [["all fish swim in water"], ["the dog runs home"], ["a dog runs home"], ["a dog runs home now"]]
    assert most_frequent_caption(captions) == "a dog runs home"


@pytest.mark.parametrize("captions", [[], [[]]])
def test_without_captions(captions):
    with pytest.raises(ValueError, match="one caption at least"):
        most_frequent_caption(captions)


def test_neighbours_say_what_is_there():
    features, captions, _ = clusters(misleading=0.25)
    validation, references, _ = clusters(20, seed=1)
    new, _, expected = clusters(30, seed=2)
    retrieval = fit_retrieval(features, captions, validation, references)
    assert retrieval.neighbours in (5, 15)  # one may mislead, and of thirty many are of other kinds
    result = retrieval.retrieve(new)
    assert [text.removesuffix(" again") for text in result] == expected
    assert retrieval.retrieve(1000 * new) == result
    assert retrieval.retrieve(new[:0]) == []


def test_a_caption_of_its_own_where_one_neighbour_is_asked():
    features, captions, _ = clusters()
    retrieval = fit_retrieval(features, captions, features[:0], [])._replace(neighbours=1)
    for text, own in zip(retrieval.retrieve(features[:9]), captions, strict=False):
        assert text in own


def test_fewer_train_images_than_neighbours():
    features = np.eye(2, 3, dtype=np.float32)
    retrieval = fit_retrieval(features, [["a dog"], ["a cat"]], features, [["a dog"], ["a cat"]])
    assert retrieval.neighbours == 1
    assert retrieval.retrieve(features) == ["a dog", "a cat"]
    assert retrieval.retrieve(np.zeros((1, 3), np.float32)) == ["a dog"]


def test_nearest_is_by_angle():
    train = np.eye(3, dtype=np.float32)
    result = nearest(train, np.array([[0.1, 9.0, 0.2], [5.0, 0, 5.0]], np.float32), 2)
    assert result.tolist() == [[1, 2], [0, 2]]


def test_what_does_not_fit_is_refused():
    features = np.ones((2, 3), np.float32)
    for captions in ([["a"]], [["a"], []]):
        with pytest.raises(ValueError, match="captions for each of 2 train images"):
            fit_retrieval(features, captions, features, [["a"], ["b"]])
    with pytest.raises(ValueError, match="2 images and captions of 1 do not fit"):
        fit_retrieval(features, [["a"], ["b"]], features, [["a"]])
    with pytest.raises(ValueError, match=r"need features \[images, 3\], got \[1, 4\]"):
        fit_retrieval(features, [["a"], ["b"]], features, [["a"], ["b"]]).retrieve(np.ones((1, 4)))

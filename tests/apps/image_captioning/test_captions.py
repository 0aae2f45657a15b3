"""Words of captions, their ids, and the way back in the graph."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from apps.image_captioning.captions import CaptionVocabulary, caption_words, plain_caption

TEXTS = ["A dog runs .", "a dog jumps!", "Two dogs run", "A cat ."]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A black dog , and a tri-colored dog .", ["a", "black", "dog", "and", "a", "tricolored", "dog"]),
        ("A man's $ 5 T-shirt", ["a", "mans", "5", "tshirt"]),
        ("“Éte\u0301” — 犬。", ["été", "犬"]),
        ("C:\u0327a va", ["\xe7a", "va"]),
        (" . - ! ", []),
        ("", []),
    ],
)
def test_words(text, words):
    assert caption_words(text) == words
    assert plain_caption(text) == " ".join(words)


@given(st.text())
def test_a_plain_caption_stays_as_it_is(text):
    assert plain_caption(plain_caption(text)) == plain_caption(text)


def test_ids_by_falling_frequency_after_four_that_are_no_word():
    vocabulary = CaptionVocabulary.fit(TEXTS, minimum_count=2)
    assert vocabulary.words == ["a", "dog"]
    assert len(vocabulary) == 6
    ids = vocabulary.encode(["A dog sleeps.", "", "dog"])
    assert [each.tolist() for each in ids] == [[4, 5, 1], [], [5]]
    assert {each.dtype for each in ids} == {np.dtype(np.int32)}
    assert vocabulary.encode([]) == []
    assert CaptionVocabulary(vocabulary.words).words == vocabulary.words
    assert CaptionVocabulary.fit([], 5).words == []


def test_a_mark_is_no_word():
    with pytest.raises(ValueError, match="stands twice"):
        CaptionVocabulary(["<end>"])
    assert CaptionVocabulary.fit(["<end> <begin>"], 1).words == ["begin", "end"]


def test_back_to_text():
    vocabulary = CaptionVocabulary(["a", "dog", "runs"])
    ids = tf.constant([[[2, 4, 5, 6, 3, 4], [4, 1, 5, 3, 0, 0]], [[3, 4, 4, 4, 4, 4], [0, 0, 0, 0, 0, 0]]])
    found = vocabulary.decode(ids).numpy().tolist()
    assert found == [[b"a dog runs", b"a dog"], [b"", b""]]
    assert vocabulary.decode(ids[0]).numpy().tolist() == found[0]
    assert vocabulary.decode(tf.zeros([0, 5], tf.int32)).shape == [0]
    assert vocabulary.decode(tf.zeros([2, 0], tf.int32)).numpy().tolist() == [b"", b""]


def test_there_and_back():
    vocabulary = CaptionVocabulary(["dog", "a", "5", "été"])
    texts = ["", "a", "5 dog dog été", "été a 5 a"]
    ids = tf.ragged.constant([each.tolist() for each in vocabulary.encode(texts)], dtype=tf.int32).to_tensor()
    assert [text.decode() for text in vocabulary.decode(ids).numpy()] == texts


def test_it_goes_along_into_a_saved_model(tmp_path):
    class Captioner(tf.Module):
        def __init__(self):
            super().__init__()
            self.vocabulary = CaptionVocabulary(["a", "dog"])

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
        def caption(self, ids):
            return {"caption": self.vocabulary.decode(ids)}

    module = Captioner()
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.caption})
    del module
    signature = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    assert signature(ids=tf.constant([[4, 5, 3]]))["caption"].numpy().tolist() == [b"a dog"]

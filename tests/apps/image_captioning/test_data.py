"""Images and captions in every layout, their division, and every input that is refused."""

import io
import random
import tarfile
import zipfile
from collections import Counter

import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.data import (
    Album,
    Images,
    Part,
    caption_words,
    plain_caption,
    read_album,
    without_bad_images,
)
from recur.data.archives import NamedBytes
from recur.errors import InputError
from tests.apps.image_captioning.conftest import encoded

LISTS = {"train": "Flickr_8k.trainImages.txt", "dev": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt"}
NAMES = [f"{number}_ab.jpg" for number in range(20)]
IMAGES = {name: f"bytes of {name}".encode() for name in NAMES}
TOKENS = "".join(f"{name}#{number}\tA dog , number {number} of {name} .\n" for name in NAMES for number in range(5))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(source, validation=0.1, test=0.2, seed=0, **columns):
    return read_album(
        str(source), CaptioningConfig(validation_fraction=validation, test_fraction=test, **columns), seed
    )


def refusal(source, **settings):
    with pytest.raises(InputError) as refused:
        read(source, **settings)
    message = str(refused.value)
    assert "\n" not in message
    return message


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in files.items():
            archive.writestr(name, member)
    return content.getvalue()


def tarred(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, file in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(file)
            archive.addfile(member, io.BytesIO(file))
    return content.getvalue()


def in_folder(folder, files):
    return {f"{folder}/{name}": content for name, content in files.items()}


def flickr_text(train=14, dev=2, test=4):
    parts = zip(LISTS.values(), (NAMES[:train], NAMES[train : train + dev], NAMES[20 - test :]), strict=True)
    return {name: "\n".join(members) + "\n" for name, members in parts} | {"Flickr8k.token.txt": TOKENS}


def table(names=NAMES, captions=2, delimiter=",", header=("image", "caption")):
    rows = [[name, f'"A dog, number {number} of {name}"'] for name in names for number in range(captions)]
    return "".join(delimiter.join(row) + "\n" for row in [header, *rows])


def parts_in(album):
    return album.train, album.validation, album.test


def sizes(album):
    return [len(part) for part in parts_in(album)]


def parts_of(album):
    return [{file.name.split("/")[-1] for file in part.images.files} for part in parts_in(album)]


OFFICIAL = {
    "folder and tar": {"Flickr8k_Dataset.tar": tarred(in_folder("Flicker8k_Dataset", IMAGES)), **flickr_text()},
    "folders": in_folder("Flicker8k_Dataset", IMAGES) | in_folder("Flickr8k_text", flickr_text()),
    "two zips": {
        "Flickr8k_Dataset.zip": zipped(
            in_folder("Flicker8k_Dataset", IMAGES) | {"__MACOSX/Flicker8k_Dataset/._0_ab.jpg": b"macOS"}
        ),
        "Flickr8k_text.zip": zipped(flickr_text() | {"__MACOSX/._Flickr8k.token.txt": b"macOS"}),
    },
    "images and a zip": in_folder("Flickr8k_Dataset", IMAGES) | {"Flickr8k_text.zip": zipped(flickr_text())},
    "both an archive and its folder": in_folder("Flicker8k_Dataset", IMAGES)
    | {"Flickr8k_Dataset.tar": tarred(in_folder("Flicker8k_Dataset", IMAGES))}
    | flickr_text(),
}


class TestFlickr8k:
    @pytest.mark.parametrize("layout", OFFICIAL)
    def test_the_official_parts(self, here, layout):
        write(here / "flickr8k", OFFICIAL[layout])
        album = read("flickr8k")
        assert parts_of(album) == [set(NAMES[:14]), set(NAMES[14:16]), set(NAMES[16:])]
        assert (album.notes, album.test.groups) == ((), [])
        for image, captions in zip(album.test.images.files, album.test.captions, strict=True):
            name = image.name.split("/")[-1]
            assert image.read() == IMAGES[name]
            assert captions == [f"A dog , number {number} of {name} ." for number in range(5)]
        (here / "one").mkdir()
        (here / "one" / "all.zip").write_bytes(zipped(in_folder("Flickr8k", {**IMAGES, **flickr_text()})))
        assert read("one/all.zip").fingerprint == album.fingerprint

    def test_what_has_no_counterpart_is_counted(self, here):
        tokens = TOKENS + "1.jpg.1#0\tA dog .\n1.jpg.1#1\tA cat .\nbare_1.jpg#0\t . \nlone.jpg#0\tA dog .\n"
        tokens += f"{NAMES[0]}#5\t\n\n"
        files = IMAGES | {"bare_1.jpg": b"x", "bare_2.jpg": b"y", "lone.jpg": b"z"}
        lists = flickr_text() | {LISTS["test"]: "\n".join([*NAMES[16:], "gone.jpg", "bare_1.jpg"])}
        write(here, in_folder("Flicker8k_Dataset", files) | lists | {"Flickr8k.token.txt": tokens})
        album = read(".")
        assert sizes(album) == [14, 2, 4]
        assert len(album.train.captions[0]) == 5
        assert album.notes == (
            "left out: 2 captions without a word, 2 captions without an image, 2 images without a caption, "
            "1 images in no part, 2 images of a part, missing or without a caption",
        )

    def test_without_lists_images_are_held_out(self, here):
        write(here, in_folder("Flicker8k_Dataset", IMAGES) | {"Flickr8k.token.txt": TOKENS})
        album = read(".")
        assert sizes(album) == [14, 2, 4]
        assert album.notes == ("images held out of train: 2 for validation, 4 for test",)
        write(here, {LISTS["train"]: "\n".join(NAMES[:10]), LISTS["test"]: "\n".join(NAMES[10:])})
        assert sizes(read(".")) == [9, 1, 10]

    def test_lines_and_lists_that_are_wrong(self, here):
        write(here, in_folder("Flicker8k_Dataset", IMAGES) | flickr_text() | {"Flickr8k.token.txt": TOKENS + "a dog\n"})
        assert refusal(".").startswith("Flickr8k.token.txt, line 101, is not IMAGE#NUMBER, a tab and a caption; mend")
        write(here, flickr_text() | {LISTS["dev"]: f"{NAMES[15]}\n{NAMES[13]}\n"})
        assert refusal(".") == f"Flickr_8k.devImages.txt has {NAMES[13]!r}, which is in train too; delete it in one"
        write(here, flickr_text() | {LISTS["train"]: ""})
        assert refusal(".").startswith("Flickr_8k.trainImages.txt is empty")

    def test_as_it_is_downloaded(self, recur_data):
        album = read(recur_data / "flickr8k")
        assert sizes(album) == [6000, 1000, 1000]
        assert album.notes == ("left out: 5 captions without an image, 91 images in no part",)
        assert {len(texts) for part in parts_in(album) for texts in part.captions} == {5}
        train, validation, test = parts_of(album)
        assert not train & validation | train & test | validation & test
        with (recur_data / "flickr8k" / LISTS["test"]).open() as file:
            assert test == set(file.read().split())
        assert album.test.images[0].startswith(b"\xff\xd8\xff")


class TestTable:
    @pytest.mark.parametrize(
        "files",
        [
            in_folder("Images", IMAGES) | {"captions.txt": table()},
            {"archive.zip": zipped(in_folder("Images", IMAGES) | {"captions.txt": table()})},
            {"Images.zip": zipped(IMAGES), "captions.csv": "\ufeff" + table()},
            in_folder("deep/er", IMAGES) | {"deep/captions.tsv": table(delimiter="\t")},
            {**IMAGES, "mine.csv": table(), "._mine.csv": b"macOS", "notes.txt": b"no table"},
            in_folder("Images", IMAGES) | {"captions.txt": TOKENS},
        ],
    )
    def test_images_and_one_table(self, here, files):
        write(here / "kaggle", files)
        album = read("kaggle")
        assert sizes(album) == [14, 2, 4]
        image, captions = album.train.images.files[0], album.train.captions[0]
        assert image.read() == IMAGES[image.name.split("/")[-1]]
        assert all(text.startswith("A dog") and image.name.split("/")[-1] in text for text in captions)

    def test_the_table_itself_and_other_columns(self, here):
        write(here, IMAGES | {"mine.csv": table(header=("file", "text")), "other.csv": "a,b\n1,2\n"})
        assert sizes(read("mine.csv", image_column="file", caption_column="text")) == [14, 2, 4]
        message = (
            "mine.csv has no column named image; it has file, text; name them with `image_column` and `caption_column`"
        )
        assert refusal("mine.csv") == message
        assert "did you mean text?" in refusal("mine.csv", image_column="file", caption_column="texts")
        assert "has 2 tables, mine.csv and other.csv among them; give the one with the captions" in refusal(".")

    def test_a_column_of_parts(self, here):
        def written(parts, header="split"):
            rows = [
                f"{name},{part},dog {number}\n" for name, part in zip(NAMES, parts, strict=False) for number in (1, 2)
            ]
            write(here, IMAGES | {"t.csv": f"image,{header},caption\n" + "".join(rows)})

        written(["train"] * 10 + ["restval"] * 2 + ["VAL"] * 3 + ["test "] * 5)
        album = read("t.csv")
        assert parts_of(album) == [set(NAMES[:12]), set(NAMES[12:15]), set(NAMES[15:])]
        assert sizes(read("t.csv", split_column="")) == [14, 2, 4]
        written(["train"] * 15 + ["test"] * 5)
        assert sizes(read("t.csv")) == [14, 1, 5]
        written(["test"] * 20)
        assert refusal("t.csv") == "t.csv has no image to train on, but for test; put some in train"
        written(["train"] * 19 + ["holdout"])
        assert refusal("t.csv").startswith(f"t.csv has {NAMES[19]!r} in a part named 'holdout'; the parts are train")
        written(["train"] * 20, header="fold")
        assert sizes(read("t.csv", split_column="fold"))[0] == 14
        assert "no column named folds; it has image, fold, caption; did you mean fold?" in refusal(
            "t.csv", split_column="folds"
        )
        write(here, {"t.csv": f"image,split,caption\n{NAMES[0]},train,a\n{NAMES[0]},test,b\n"})
        assert refusal("t.csv") == f"t.csv has {NAMES[0]!r} in train and in test; leave it in one of them"

    def test_names_are_paths_from_anywhere_above(self, here):
        two = {"x/1.jpg": b"x", "y/1.jpg": b"y", **IMAGES}
        write(here, in_folder("all", two) | {"t.csv": table([*NAMES, "x/1.jpg", "./all/y/1.jpg"])})
        album = read("t.csv")
        assert sum(sizes(album)) == 22
        contents = {file.name: file.read() for part in parts_in(album) for file in part.images.files}
        assert (contents["all/x/1.jpg"], contents["all/y/1.jpg"]) == (b"x", b"y")
        write(here, {"t.csv": table([*NAMES, "1.jpg"])})
        assert refusal("t.csv") == "t.csv has '1.jpg', which may be all/x/1.jpg or all/y/1.jpg; give more of its path"
        write(here, {"t.csv": table([*NAMES, "z/1.jpg"])})
        left_out, _ = read("t.csv").notes
        assert left_out == "left out: 2 captions without an image, 2 images without a caption"

    def test_captions_with_commas_quotes_and_line_ends(self, here):
        rows = [*(f"{name},dog\n" for name in NAMES[1:]), f'{NAMES[0]},"A ""red"" dog,\n and\ta cat "\n']
        write(here, IMAGES | {"t.csv": "image,caption\n" + "".join(rows)})
        album = read("t.csv")
        texts = [text for part in parts_in(album) for captions in part.captions for text in captions]
        assert Counter(texts) == {"dog": 19, 'A "red" dog,  and a cat': 1}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "t.csv is empty"),
            (b"\n\n", "t.csv is empty; give a table with a header and a caption a row"),
            (b"image,caption\n", "has a header and no row below it; give a caption a row"),
            (b"image,caption\n0_ab.jpg,a dog, a cat\n", "t.csv is no table: "),
            ("image,caption\n0_ab.jpg,café\n".encode("latin-1"), "is not UTF-8 (byte 0xe9 at offset 26)"),
            (table(["a.jpg", "b.jpg"]).encode(), "t.csv names 2 images, 'a.jpg' say, and none of them is among the 20"),
            (
                b"image,caption\n0_ab.jpg,\n1_ab.jpg, . \n",
                "t.csv has no image with a caption; give images with captions",
            ),
            (
                table(NAMES[:4]).encode(),
                "t.csv has too few images: 4 with captions to divide, and holding out 10% needs 10",
            ),
        ],
    )
    def test_what_is_no_table(self, here, content, message):
        write(here, {**IMAGES, "t.csv": content})
        assert message in refusal("t.csv")


class TestRefused:
    @pytest.mark.parametrize("archive", ["Flickr8k_Dataset.tar", "Flickr8k_Dataset.zip"])
    def test_an_archive_with_a_name_that_leads_out(self, here, archive):
        pack = tarred if archive.endswith("tar") else zipped
        write(here / "f", {archive: pack(IMAGES | {"../../out.jpg": b"out"}), **flickr_text()})
        assert "holds '../../out.jpg', which leads out of it; get an archive without such a name" in refusal("f")
        assert not list(here.rglob("out.jpg"))

    @pytest.mark.parametrize("archive", ["Flickr8k_Dataset.tar", "Flickr8k_Dataset.zip"])
    def test_an_archive_cut_short(self, here, archive):
        content = (tarred if archive.endswith("tar") else zipped)(IMAGES)
        write(here / "f", {archive: content[: len(content) // 3], **flickr_text()})
        assert f"f/{archive} is cut short or damaged (" in refusal("f")

    def test_other_archives_beside_are_not_looked_into(self, here):
        write(here, IMAGES | flickr_text() | {"backup.tar.gz": b"\x1f\x8bbroken", "x.zip": b"broken"})
        assert sizes(read(".")) == [14, 2, 4]
        for name in flickr_text():
            (here / name).unlink()
        write(here, {"mine.csv": table(), ".hidden.csv": table()})
        assert sizes(read(".")) == sizes(read(".hidden.csv")) == [14, 2, 4]

    def test_what_is_missing(self, here):
        assert "there is nothing at" in refusal("./missing")
        assert refusal(".").startswith(". has no captions; give Flickr8k.token.txt and")
        write(here, flickr_text())
        assert refusal(".").startswith(". has no images; give Flickr8k.token.txt and")
        write(here, {"empty.zip": b"", "text.csv": "image,caption\na.jpg,b\n"})
        assert refusal("empty.zip").startswith("empty.zip is empty; give")
        (here / "empty.zip").unlink()
        assert refusal("text.csv").startswith(". has no images; give")

    @pytest.mark.parametrize(("validation", "test"), [(0.0, 0.1), (0.6, 0.4)])
    def test_shares_that_cannot_be_held_out(self, here, validation, test):
        write(here, IMAGES | {"t.csv": table()})
        assert f"{validation:g} and {test:g} of the images cannot" in refusal(".", validation=validation, test=test)


class TestDivision:
    def test_it_depends_on_the_seed_and_the_names_alone(self, here):
        names = [f"{number}.jpg" for number in range(100)]
        write(here / "a", dict.fromkeys(names, b"a") | {"t.csv": table(names)})
        random.Random(0).shuffle(names)
        write(here / "b", in_folder("x", dict.fromkeys(names, b"a")) | {"t.csv": table(names)})
        first, other_order, other_seed = read("a"), read("b"), read("a", seed=1)
        assert parts_of(first) == parts_of(other_order) != parts_of(other_seed)
        assert first.fingerprint == read("a").fingerprint != other_seed.fingerprint
        assert sizes(first) == [70, 10, 20]
        assert len(set.union(*parts_of(first))) == 100

    def test_another_caption_or_size_is_another_fingerprint(self, here):
        write(here, IMAGES | {"t.csv": table()})
        fingerprints = {read(".").fingerprint}
        write(here, {NAMES[0]: b"another size"})
        fingerprints.add(read(".").fingerprint)
        write(here, {"t.csv": table().replace("dog", "cat", 1)})
        fingerprints.add(read(".").fingerprint)
        assert len(fingerprints) == 3


class TestBadImages:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    @staticmethod
    def colour(name):
        return encoded(PIL.Image.new("RGB", (8, 8), name), "PNG")

    def album(self, *train):
        rest = self.part(self.colour("white"))
        return Album("here", "", self.part(*train), rest, rest, ("a note",))

    @staticmethod
    def part(*contents):
        files = [NamedBytes(f"{i}.png", 1, lambda content=content: content) for i, content in enumerate(contents)]
        return Part(Images(files), [[f"number {i}"] for i in range(len(contents))], [])

    def test_one_is_named(self):
        with pytest.raises(InputError, match=r"1\.png is no JPEG.*`skip_bad`"):
            without_bad_images(self.album(self.colour("red"), b"text"), skip_bad=False)

    def test_they_are_left_out_with_their_captions_and_counted(self):
        read_in = self.album(self.colour("red"), b"text", self.colour("blue"), b"")
        album = without_bad_images(read_in, skip_bad=True)
        assert album.train.captions == [["number 0"], ["number 2"]]
        assert list(album.train.images) == [self.colour("red"), self.colour("blue")]
        assert len(album.validation) == len(album.test) == 1
        assert album.notes[0] == "a note"
        assert album.notes[1].startswith("left out: 2 images that cannot be decoded; the first: 1.png")

    def test_a_part_of_them_alone_is_refused(self):
        with pytest.raises(InputError, match="no image of the train part of here can be decoded"):
            without_bad_images(self.album(b"text"), skip_bad=True)

    def test_other_images_have_another_fingerprint(self):
        assert self.part(b"a", b"b").images.fingerprint != self.part(b"b", b"a").images.fingerprint
        assert self.part(b"a", b"b").images.fingerprint == self.part(b"a", b"b").images.fingerprint


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

"""Files of folders and archives are listed and read, and no archive is trusted."""

import gzip
import io
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.archives import list_files
from recur.errors import InputError

FILES = {"a.txt": b"alpha", "Images/b.jpg": b"beta" * 400, "Images/c d é.jpg": b"", "x/y/z": b"\x00\xff"}
HIDDEN = {"._a.txt": b"macOS", "__MACOSX/Images/b.jpg": b"macOS", ".git/config": b"hidden", "x/.y/z": b"hidden"}


def write_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def write_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_zip(path, files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


WRITERS = {"folder": write_folder, "a.tar": write_tar, "a.zip": write_zip}


def refusal(path):
    with pytest.raises(InputError) as refused:
        list_files(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", WRITERS)
def test_every_file_but_hidden_ones(tmp_path, name):
    WRITERS[name](tmp_path / name, FILES | HIDDEN)
    listed = list_files(tmp_path / name)
    assert list(listed) == sorted(FILES)
    for inside, content in FILES.items():
        assert listed[inside].read() == content
        assert (listed[inside].size, listed[inside].name) == (len(content), f"{tmp_path / name}/{inside}")


@pytest.mark.parametrize("name", WRITERS)
def test_many_threads_read(tmp_path, name):
    files = {f"{number}.bin": os.urandom(3000) for number in range(40)}
    WRITERS[name](tmp_path / name, files)
    listed = list_files(tmp_path / name)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda inside: listed[inside].read(), list(files) * 3)) == list(files.values()) * 3


def test_names_as_tar_writes_them(tmp_path):
    write_tar(tmp_path / "a.tar", {"./Images/b.jpg": b"beta"})
    assert list(list_files(tmp_path / "a.tar")) == ["Images/b.jpg"]


def test_links_in_folders(tmp_path):
    write_folder(tmp_path / "elsewhere", FILES)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "folder")
    (tmp_path / "folder" / "broken").symlink_to(tmp_path / "nowhere")
    assert list(list_files(tmp_path / "folder")) == [f"linked/{name}" for name in sorted(FILES)]


def test_links_in_archives_are_no_files(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo(f"member-{kind.decode()}")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    assert list_files(tmp_path / "a.tar") == {}


@pytest.mark.parametrize("name", ["../x.jpg", "Images/../../x.jpg", "/etc/x.jpg", "..\\x.jpg", "C:\\x.jpg"])
@pytest.mark.parametrize("archive", ["a.tar", "a.zip"])
def test_a_name_that_leads_out(tmp_path, archive, name):
    WRITERS[archive](tmp_path / archive, {"a.jpg": b"a", name: b"out"})
    assert f"{archive} holds {name!r}, which leads out of it; get an archive without" in refusal(tmp_path / archive)


@pytest.mark.parametrize("archive", ["a.tar", "a.zip"])
@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.001, 0.99))
def test_an_archive_cut_short(tmp_path_factory, archive, share):
    path = tmp_path_factory.getbasetemp() / f"cut-{archive}"
    WRITERS[archive](path, FILES)
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0")) if archive == "a.tar" else len(whole)  # which ends in up to 10 kB of padding
    path.write_bytes(whole[: max(1, int(end * share))])
    assert "is cut short or damaged (" in refusal(path)


@pytest.mark.parametrize(("mode", "command"), [("w:gz", "gunzip"), ("w:bz2", "bunzip2"), ("w:xz", "unxz")])
def test_an_archive_that_is_compressed_as_a_whole(tmp_path, mode, command):
    write_tar(tmp_path / "a.tar.x", FILES, mode)
    assert f"no file in it can be read alone; run {command} on it" in refusal(tmp_path / "a.tar.x")


def test_an_encrypted_archive(tmp_path):
    write_zip(tmp_path / "a.zip", {"a": b"a"})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert "is encrypted; unpack it" in refusal(tmp_path / "a.zip")


@pytest.mark.parametrize("content", [b"", b"no archive", b"<html>404</html>" * 100, gzip.compress(b"x", mtime=0)[:5]])
def test_no_archive(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    assert "a.zip is " in refusal(tmp_path / "a.zip")


def test_what_is_gone_when_it_is_read(tmp_path):
    for name, write in WRITERS.items():
        write(tmp_path / name, FILES)
    listed = {name: list_files(tmp_path / name)["Images/b.jpg"] for name in ("folder", "a.tar")}
    (tmp_path / "folder" / "Images" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"cannot read .*b\.jpg: No such file"):
        listed["folder"].read()
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:1000])
    with pytest.raises(InputError, match="is cut short or damaged"):
        listed["a.tar"].read()


def test_a_damaged_member(tmp_path):
    write_zip(tmp_path / "a.zip", FILES, zipfile.ZIP_STORED)
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"betabeta", b"betagamm", 1))
    with pytest.raises(InputError, match=r"is cut short or damaged .*CRC"):
        list_files(tmp_path / "a.zip")["Images/b.jpg"].read()

"""SHA256SUMS is what `sha256sum` itself verifies, and every kind of damage is named."""

import shutil
import subprocess

import pytest

from recur.serving.checksums import checksum_faults, write_checksums


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "a file").write_bytes(b"one")
    (tmp_path / "below" / "b").write_bytes(b"")
    write_checksums(tmp_path)
    return tmp_path


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="no sha256sum")
def test_sha256sum_verifies_it(folder):
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "a file: OK\nbelow/b: OK\n")


def test_what_has_changed_is_named(folder):
    assert checksum_faults(folder) == []
    (folder / "a file").write_bytes(b"two")
    (folder / "below" / "b").unlink()
    (folder / "new").touch()
    assert checksum_faults(folder) == ["below/b is missing", "new is not in SHA256SUMS", "a file has changed"]
    write_checksums(folder)
    assert checksum_faults(folder) == []


def test_none_and_a_damaged_one(tmp_path):
    assert checksum_faults(tmp_path) is None
    (tmp_path / "SHA256SUMS").write_text("no digest\n")
    assert checksum_faults(tmp_path) == ["SHA256SUMS is damaged"]

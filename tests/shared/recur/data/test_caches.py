"""What took long is computed once, and a damaged cache is no obstacle."""

import os

import numpy as np
import pytest

from recur.data import caches
from recur.data.caches import cache_folder, cached_arrays


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "recur"


class Computation:
    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return {"a": np.arange(1000, dtype=np.int32), "b": np.zeros([0, 2])}

    def read(self, key="key"):
        arrays = cached_arrays(key, self)
        np.testing.assert_array_equal(arrays["a"], np.arange(1000))
        assert (arrays["a"].dtype, arrays["b"].shape) == (np.int32, (0, 2))
        return self.times


def test_it_is_computed_once_for_a_key(folder):
    compute = Computation()
    assert [compute.read(), compute.read(), compute.read("other"), compute.read()] == [1, 1, 2, 2]
    assert cache_folder() == folder
    assert sorted(path.name for path in folder.iterdir()) == ["key.npz", "other.npz"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "header"])
def test_a_damaged_cache_is_computed_again(folder, damage):
    compute = Computation()
    compute.read()
    content = bytearray((folder / "key.npz").read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    if damage == "header":
        content[content.index(b"NUMPY") + 20] ^= 0xFF
    kept = {"cut": content[:-40], "empty": b"", "text": b"no archive"}.get(damage, content)
    (folder / "key.npz").write_bytes(kept)
    assert [compute.read(), compute.read()] == [2, 2]


def test_what_was_written_first_is_forgotten_first(folder, monkeypatch):
    compute = Computation()
    compute.read("first")
    size = (folder / "first.npz").stat().st_size
    os.utime(folder / "first.npz", (1, 1))
    monkeypatch.setattr(caches, "ARRAYS_LIMIT", 2 * size)
    compute.read("second")
    compute.read("third")
    assert sorted(path.name for path in folder.iterdir()) == ["second.npz", "third.npz"]


def test_without_a_place_for_it_it_is_computed_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    compute = Computation()
    assert [compute.read(), compute.read()] == [1, 2]

"""Rows are computed once whatever happens to the process or to the file."""

import os
import threading

import numpy as np
import pytest

from recur.data import caches
from recur.data.caches import cache_folder, cached_rows
from recur.errors import InputError

SHAPE = (100, 3, 5)
EXPECTED = np.arange(np.prod(SHAPE)).reshape(SHAPE)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


class Computation:
    """Remembers what it was asked for; may stop as a killed process does."""

    def __init__(self, stops_at=None):
        self.asked, self.stops_at = [], stops_at

    def __call__(self, rows):
        for begin in range(0, len(rows), 7):
            batch = rows[begin : begin + 7]
            if self.stops_at is not None and self.stops_at in batch:
                raise KeyboardInterrupt
            self.asked.extend(batch.tolist())
            yield EXPECTED[batch]


def read(key="key", compute=None):
    compute = compute or Computation()
    rows = cached_rows(key, SHAPE, np.float16, compute)
    np.testing.assert_array_equal(rows, EXPECTED)
    assert rows.dtype == np.float16
    return compute.asked


def test_rows_are_computed_once_for_a_key():
    assert read() == list(range(100))
    assert read() == []
    assert read("other") == list(range(100))
    assert sorted(path.name for path in cache_folder().iterdir()) == ["key.npy", "other.npy"]


def test_after_a_kill_it_goes_on_where_it_was():
    with pytest.raises(KeyboardInterrupt):
        read(compute=Computation(stops_at=50))
    assert read() == list(range(49, 100))


def test_damaged_rows_alone_are_computed_again():
    read()
    path = cache_folder() / "key.npy"
    content = bytearray(path.read_bytes())
    record = 4 + 2 * 15
    start = len(content) - 100 * record
    content[start + 20 * record] ^= 1  # a checksum
    content[start + 30 * record + 9] ^= 1  # a number
    path.write_bytes(content)
    assert read() == [20, 30]


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "header", "other shape"])
def test_another_file_is_replaced(damage):
    read()
    path = cache_folder() / "key.npy"
    content = path.read_bytes()
    changed = {"cut": content[:-40], "empty": b"", "text": b"no array", "header": content.replace(b"row", b"now")}
    path.write_bytes(changed.get(damage, content))
    if damage == "other shape":
        np.save(path, EXPECTED)
    assert (read(), read()) == (list(range(100)), [])


def test_two_that_ask_at_once_compute_once():
    computations = [Computation(), Computation()]
    threads = [threading.Thread(target=read, args=["key", computation]) for computation in computations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(computation.asked) for computation in computations) == [0, 100]


def test_what_was_used_longest_ago_is_forgotten_first(monkeypatch):
    for number, key in enumerate(["first", "second", "third"]):
        read(key)
        os.utime(cache_folder() / f"{key}.npy", (number, number))
    read("first")  # used again
    os.utime(cache_folder() / "first.npy", (3, 3))
    monkeypatch.setattr(caches, "ROWS_LIMIT", 2 * (cache_folder() / "first.npy").stat().st_size)
    read("fourth")
    assert sorted(path.stem for path in cache_folder().iterdir()) == ["first", "fourth", "third"]


def test_without_a_place_for_them_it_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match="make room there, or name another folder: XDG_CACHE_HOME=FOLDER"):
        read()


def test_no_rows():
    assert cached_rows("none", (0, 2), np.float32, Computation()).shape == (0, 2)


def test_rows_that_are_not_computed_are_an_error():
    with pytest.raises(ValueError, match="7 rows were computed of 100"):
        cached_rows("key", SHAPE, np.float16, lambda rows: iter([EXPECTED[rows[:7]]]))

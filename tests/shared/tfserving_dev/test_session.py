import concurrent.futures
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.checkout import ROOT
from tfserving_dev.session import NativeError, NativeSavedModel, Signature

pytestmark = pytest.mark.slow

NUMBERS = [tf.float32, tf.float64, tf.float16, tf.int32, tf.int64, tf.int8, tf.uint8, tf.uint64, tf.bool, tf.complex64]
LONG = bytes(range(256)) * 400  # 102,400 bytes
STRINGS = [b"", b"plain", "zażółć 🎭 日本語".encode(), b"\x00", b"in\x00side", b"trailing\x00\x00", b"\xff\xfe"]
STRINGS += [b"x" * 22, b"x" * 23, LONG]  # TensorFlow keeps 22 bytes or fewer without allocating


class Module(tf.Module):
    """Whatever a server may be asked to do: types, strings, loops, variables, state and a table."""

    def __init__(self, vocabulary: Path):
        super().__init__()
        self.weight = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        self.memory = tf.Variable("nothing yet", shape=tf.TensorShape(None))
        key, value = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        asset = tf.lookup.TextFileInitializer(str(vocabulary), tf.string, key, tf.int64, value)
        self.table = tf.lookup.StaticHashTable(asset, default_value=-1)

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x"), tf.TensorSpec([], tf.float32, "bias")])
    def linear(self, x, bias):
        y = x @ self.weight + bias
        return {"y": y, "best": tf.argmax(y, axis=1), "positive": y > 0, "size": tf.size(y)}

    @tf.function(input_signature=[tf.TensorSpec(None, dtype, dtype.name) for dtype in NUMBERS])
    def numbers(self, *tensors):
        return {f"same_{tensor.dtype.name}": tf.identity(tensor) for tensor in tensors}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string, "text")])
    def strings(self, text):
        return {"same": tf.identity(text), "twice": text + text, "bytes": tf.strings.length(text)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64, "n")])
    def triangle(self, n):
        total = tf.constant(0, tf.int64)
        while n > 0:
            total, n = total + n, n - 1
        return {"total": total}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "word")])
    def lookup(self, word):
        return {"index": self.table.lookup(word)}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string, "text")])
    def remember(self, text):
        return {"before": self.memory.read_value(), "after": self.memory.assign(text)}

    @tf.function(input_signature=[])
    def recall(self):
        return {"text": self.memory.read_value()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def failing(self, x):
        with tf.control_dependencies([tf.debugging.Assert(tf.size(x) < 3, ["too many of them:", tf.size(x)])]):
            return {"x": tf.identity(x)}


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("native")
    vocabulary = folder / "vocabulary.txt"
    vocabulary.write_text("the\ncat\nżółw\n", encoding="utf-8")
    module = Module(vocabulary)
    names = ("linear", "numbers", "strings", "triangle", "lookup", "remember", "recall", "failing")
    signatures = {name: getattr(module, name) for name in names}
    tf.saved_model.save(module, str(folder / "saved"), {**signatures, "serving_default": module.linear})
    vocabulary.unlink()  # the model must use its own copy, and find it after a move
    return (folder / "saved").rename(folder / "moved")


@pytest.fixture(scope="module")
def model(path):
    with NativeSavedModel(path) as model:
        yield model


def fresh(script: str, *arguments: object) -> dict:
    """What a script prints as JSON when a Python that has imported nothing yet runs it."""
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_signatures_name_types_and_shapes(model):
    assert set(model.signatures) == {
        *("linear", "numbers", "strings", "triangle", "lookup", "remember", "recall", "failing", "serving_default")
    }
    float32, int64 = np.dtype(np.float32), np.dtype(np.int64)
    assert model.signatures["serving_default"] == Signature(
        inputs={"x": (float32, (None, 3)), "bias": (float32, ())},
        outputs={
            "y": (float32, (None, 2)),
            "best": (int64, (None,)),
            "positive": (np.dtype(bool), (None, 2)),
            "size": (np.dtype(np.int32), ()),
        },
    )
    assert model.signatures["strings"].inputs == {"text": (np.dtype(object), None)}
    assert model.signatures["recall"].inputs == {}


def test_variables_and_several_outputs(model):
    answer = model.run({"x": [[1, 0, 0], [0, -1, -1]], "bias": 0.5})
    assert {name: (value.dtype, value.shape) for name, value in answer.items()} == {
        "y": (np.float32, (2, 2)),
        "best": (np.int64, (2,)),
        "positive": (np.bool_, (2, 2)),
        "size": (np.int32, ()),
    }
    np.testing.assert_array_equal(answer["y"], [[1.5, 2.5], [-7.5, -9.5]])
    np.testing.assert_array_equal(answer["best"], [1, 0])
    np.testing.assert_array_equal(answer["positive"], [[True, True], [False, False]])
    assert answer["size"] == 4
    answer["y"][:] = 0  # the caller's own copy
    assert model.run({"x": [[1, 0, 0]], "bias": 0.0})["y"].tolist() == [[1, 2]]


@pytest.mark.parametrize("shape", [(), (1,), (3, 2), (2, 3, 4, 1), (0,), (2, 0, 3)])
def test_numbers_of_every_type_and_rank(model, shape):
    random = np.random.default_rng(0)
    sent = {dtype.name: (random.uniform(0, 100, shape)).astype(dtype.as_numpy_dtype) for dtype in NUMBERS}
    sent = {name: np.asarray(value) for name, value in sent.items()}
    answer = model.run(sent, "numbers")
    for name, value in sent.items():
        received = answer[f"same_{name}"]
        assert (received.dtype, received.shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(received, value)


def test_extreme_numbers_and_other_layouts(model):
    base = {dtype.name: np.zeros((), dtype.as_numpy_dtype) for dtype in NUMBERS}
    transposed = np.arange(6.0).reshape(2, 3).T[::-1]
    bounds = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max])
    special = np.array([np.nan, np.inf, -0.0, np.finfo(np.float32).tiny], np.float32)
    answer = model.run({**base, "float64": transposed, "int64": bounds, "float32": special}, "numbers")
    np.testing.assert_array_equal(answer["same_float64"], transposed)
    np.testing.assert_array_equal(answer["same_int64"], bounds)
    assert answer["same_float32"].tobytes() == special.tobytes()


def test_python_values_are_converted(model):
    values = {name: [] for name in ("float32", "float64", "float16", "int8", "uint64", "bool", "complex64")}
    answer = model.run({**values, "int32": [[1, 2]], "int64": 2**62, "uint8": [0, 255], "float32": [1, 2.5]}, "numbers")
    assert answer["same_int32"].tolist() == [[1, 2]]
    assert answer["same_int64"] == 2**62
    assert answer["same_uint8"].tolist() == [0, 255]
    assert answer["same_float32"].tolist() == [1, 2.5]
    assert (answer["same_bool"].dtype, answer["same_bool"].shape) == (bool, (0,))


def test_strings(model):
    answer = model.run({"text": STRINGS}, "strings")
    assert answer["same"].dtype == object
    assert answer["same"].tolist() == STRINGS
    assert answer["twice"].tolist() == [text + text for text in STRINGS]
    assert answer["bytes"].tolist() == [len(text) for text in STRINGS]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("zażółć", "zażółć".encode()),
        (b"one\x00", b"one\x00"),
        (["żółw", b"\x00"], ["żółw".encode(), b"\x00"]),
        ([["a", "b", "c"], ["d", "e", "f"]], [[b"a", b"b", b"c"], [b"d", b"e", b"f"]]),
        (np.array([["a"], ["bb"]]), [[b"a"], [b"bb"]]),
        (np.array([b"a", b"bb"]), [b"a", b"bb"]),
        (np.array([b"a\x00", "ż"], object), [b"a\x00", "ż".encode()]),
        ([], []),
        (np.empty((0, 2), object), []),
    ],
)
def test_strings_of_every_rank_and_kind(model, value, expected):
    answer = model.run({"text": value}, "strings")
    assert answer["same"].shape == np.shape(np.asarray(value, dtype=object))
    assert answer["same"].tolist() == expected


def test_while_loop(model):
    assert model.run({"n": 1000}, "triangle") == {"total": 500500}


def test_table_from_an_asset_is_initialised(model):
    assert model.run({"word": ["cat", "żółw", "dog", "the"]}, "lookup")["index"].tolist() == [1, 2, -1, 0]


def test_a_graph_may_keep_the_strings_it_was_fed(path):
    with NativeSavedModel(path) as model:
        assert model.run({}, "recall")["text"] == b"nothing yet"
        kept = [f"{number} {'kept' * 50}".encode() for number in range(100)]
        model.run({"text": kept}, "remember")
        for number in range(50):
            model.run({"text": [f"{number} {'other' * 40}"] * 100}, "strings")
        assert model.run({}, "recall")["text"].tolist() == kept
    with NativeSavedModel(path) as other:  # state belongs to a session
        assert other.run({}, "recall")["text"] == b"nothing yet"


def test_module_without_its_variables_loads_and_fails_when_run(tmp_path):
    import keras

    class Wrapper(tf.Module):
        def __init__(self, owned: bool):
            super().__init__()
            self.model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
            if owned:
                self.tracked = [variable.value for variable in self.model.variables]

        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x")])
        def serve(self, x):
            return {"y": self.model(x)}

    for owned in (True, False):
        module = Wrapper(owned)
        tf.saved_model.save(module, str(tmp_path / str(owned)), {"serving_default": module.serve})
        with NativeSavedModel(tmp_path / str(owned)) as model:
            if owned:
                assert model.run({"x": np.ones((4, 3), np.float32)})["y"].shape == (4, 2)
            else:
                with pytest.raises(NativeError, match="Could not find variable"):
                    model.run({"x": np.ones((4, 3), np.float32)})


def test_failure_while_running_leaves_the_model_usable(model):
    with pytest.raises(NativeError, match="too many of them") as failure:
        model.run({"x": [1, 2, 3]}, "failing")
    assert failure.value.code == 3
    assert model.run({"x": [1, 2]}, "failing")["x"].tolist() == [1, 2]


def test_closing_after_a_failure_is_safe(tmp_path):
    class Python(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def serve(self, x):
            return {"y": tf.py_function(lambda value: value + 1, [x], tf.float32)}

    module = Python()
    tf.saved_model.save(module, str(tmp_path / "python"), {"serving_default": module.serve})
    # What the loader is for: Python runs this and a server cannot. Freeing its session at once would abort the process
    # now and then, while a thread of TensorFlow's is on its way out.
    script = """
import json, sys
from tfserving_dev.session import NativeError, NativeSavedModel
messages = []
for _ in range(20):
    try:
        with NativeSavedModel(sys.argv[1]) as model:
            model.run({"x": [1.0]})
    except NativeError as error:
        messages.append(str(error))
print(json.dumps(messages))
"""
    messages = fresh(script, tmp_path / "python")
    assert len(messages) == 20
    assert all("No OpKernel was registered to support Op 'EagerPyFunc'" in message for message in messages)


def test_shapes_are_for_the_graph_to_check(model):
    with pytest.raises(NativeError, match="Matrix size-incompatible"):
        model.run({"x": [[1.0, 2.0]], "bias": 0.0})


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("predict", {}, "no signature 'predict': the model has .*'linear'.*'serving_default'"),
        ("linear", {"x": [[1.0, 2.0, 3.0]]}, r"takes \['bias', 'x'\], not \['x'\]"),
        ("linear", {"x": [[1.0, 2.0, 3.0]], "b": 0.0}, r"takes \['bias', 'x'\], not \['b', 'x'\]"),
        ("triangle", {"n": 1, "m": 1}, r"takes \['n'\], not \['m', 'n'\]"),
        ("triangle", {"n": 1.0}, "input 'n' takes int64: .*float64"),
        ("triangle", {"n": np.int32(1)}, "input 'n' takes int64: .*int32"),
        ("triangle", {"n": 2**63}, "input 'n' takes int64: .* out of range"),
        ("triangle", {"n": 2**64}, "input 'n' takes int64: .*"),
        ("triangle", {"n": "1"}, "input 'n' takes int64: .*"),
        ("triangle", {"n": None}, "input 'n' takes int64: .*"),
        ("failing", {"x": np.zeros(2)}, "input 'x' takes float32: .*float64"),
        ("failing", {"x": np.zeros(2, np.int32)}, "input 'x' takes float32: .*int32"),
        ("failing", {"x": [1e39]}, "input 'x' takes float32: overflow"),
        ("failing", {"x": [[1], [2, 3]]}, "input 'x' takes float32: .*inhomogeneous"),
        ("strings", {"text": [1, 2]}, "input 'text' takes strings: .*int found"),
        ("strings", {"text": np.zeros(3)}, "input 'text' takes strings: .*float found"),
        ("strings", {"text": ["a", None]}, "input 'text' takes strings: .*NoneType found"),
        ("strings", {"text": [["a"], ["b", "c"]]}, "input 'text' takes strings: .*"),
        ("strings", {"text": "\ud800"}, "input 'text' takes strings: .*surrogates"),
    ],
)
def test_wrong_requests_are_refused(model, signature, inputs, message):
    with pytest.raises(ValueError, match=message):
        model.run(inputs, signature)


def test_booleans_are_not_made_of_numbers(model):
    base = {dtype.name: np.zeros((), dtype.as_numpy_dtype) for dtype in NUMBERS}
    assert model.run({**base, "bool": [True, False]}, "numbers")["same_bool"].tolist() == [True, False]
    with pytest.raises(ValueError, match="input 'bool' takes bool"):
        model.run({**base, "bool": [0, 1]}, "numbers")
    for value in (-1, 256):
        with pytest.raises(ValueError, match="input 'uint8' takes uint8: a number is out of range"):
            model.run({**base, "uint8": [0, value]}, "numbers")


def test_what_is_no_saved_model(tmp_path, path):
    with pytest.raises(FileNotFoundError, match=r"no SavedModel in '.*absent'"):
        NativeSavedModel(tmp_path / "absent")
    (tmp_path / "saved_model.pb").write_bytes(b"this is text, not a graph")
    with pytest.raises(NativeError, match="is no SavedModel") as failure:
        NativeSavedModel(tmp_path)
    assert failure.value.code == 15
    with pytest.raises(NativeError, match="Could not find meta graph def matching supplied tags"):
        NativeSavedModel(path, tag="train")


def test_closed_model(path):
    with NativeSavedModel(str(path)) as model:
        model.run({"n": 1}, "triangle")
    model.close()
    with pytest.raises(ValueError, match="closed"):
        model.run({"n": 1}, "triangle")


def test_threads(model):
    def ask(number: int) -> bool:
        texts = [f"{number} {'text' * 20}".encode()] * 10
        return all(model.run({"text": texts}, "strings")["same"].tolist() == texts for _ in range(20))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(8)))


def test_python_tensorflow_is_not_needed_and_may_come_later(path):
    script = """
import json, sys
from tfserving_dev.session import NativeSavedModel
def ask(model): return model.run({"x": [[1, 0, 0]], "bias": 0})["y"].tolist()
first = NativeSavedModel(sys.argv[1])
answers, imported = [ask(first)], [name for name in ("tensorflow", "keras") if name in sys.modules]
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1]).signatures["linear"](x=tf.constant([[1.0, 0, 0]]), bias=tf.constant(0.0))
answers += [loaded["y"].numpy().tolist(), ask(first), ask(NativeSavedModel(sys.argv[1]))]
print(json.dumps({"answers": answers, "imported": imported}))
"""
    assert fresh(script, path) == {"answers": [[[1, 2]]] * 4, "imported": []}


def test_memory_does_not_grow(path):
    script = """
import json, resource, sys
from tfserving_dev.session import NativeError, NativeSavedModel
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "linux" else 1024)
texts, many = ["long " * 1000] * 10 + ["short"] * 10, [[1.0, 2.0, 3.0]] * 1000
with NativeSavedModel(sys.argv[1]) as model:
    def runs(count):
        for _ in range(count):
            model.run({"text": texts}, "strings")
            model.run({"x": many, "bias": 0.0})
            try:
                model.run({"x": [0.0] * 10}, "failing")
            except NativeError:
                pass
    runs(200)
    before = peak()
    runs(2000)
    runs_grew = peak() - before
def loads(count):
    for _ in range(count):
        NativeSavedModel(sys.argv[1]).close()
loads(5)
before = peak()
loads(20)
print(json.dumps({"runs": runs_grew, "loads": peak() - before}))
"""
    grown = fresh(script, path)  # kB; 2,000 runs send 100 MB of strings, and receive 300 MB of them
    assert grown["runs"] < 20_000
    assert grown["loads"] < 15_000

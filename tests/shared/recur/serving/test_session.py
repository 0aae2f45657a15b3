"""A SavedModel in a session answers as its module does, and says what it cannot."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf

from recur.serving.session import SavedModelSession, Signature

pytestmark = pytest.mark.slow

STRINGS = [b"", "zażółć 🎭".encode(), b"\x00", b"trailing\x00\x00", b"\xff\xfe", b"x" * 100_000]


class Module(tf.Module):
    """A variable, a table from a file, strings, and a failure."""

    def __init__(self, vocabulary):
        super().__init__()
        self.weight = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
        key, value = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        words = tf.lookup.TextFileInitializer(str(vocabulary), tf.string, key, tf.int64, value)
        self.table = tf.lookup.StaticHashTable(words, default_value=-1)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x"), tf.TensorSpec([], tf.float32, "bias")])
    def linear(self, x, bias):
        y = x @ self.weight + bias
        return {"y": y, "size": tf.size(y)}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string, "text")])
    def strings(self, text):
        return {"same": tf.identity(text), "index": self.table.lookup(text), "joined": tf.strings.reduce_join(text)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def failing(self, x):
        with tf.control_dependencies([tf.debugging.Assert(tf.size(x) < 3, ["too many of them"])]):
            return {"x": tf.identity(x)}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session")
    (folder / "words").write_text("the\ncat\n")
    module = Module(folder / "words")
    signatures = {"serving_default": module.linear, "strings": module.strings, "failing": module.failing}
    tf.saved_model.save(module, str(folder / "1"), signatures)
    (folder / "words").unlink()  # the model must use its own copy
    return folder / "1"


@pytest.fixture(scope="module")
def model(path):
    with SavedModelSession(path) as model:
        yield model


def test_signatures_name_types_and_shapes(model):
    float32 = np.dtype(np.float32)
    assert set(model.signatures) == {"serving_default", "strings", "failing"}
    assert model.signatures["serving_default"] == Signature(
        inputs={"x": (float32, (None, 2)), "bias": (float32, ())},
        outputs={"y": (float32, (None, 2)), "size": (np.dtype(np.int32), ())},
    )
    assert model.signatures["strings"].inputs == {"text": (np.dtype(object), None)}


def test_numbers(model):
    answer = model.run({"x": np.eye(2, dtype=np.float32), "bias": np.float32(0.5)})
    assert {name: (value.dtype, value.shape) for name, value in answer.items()} == {
        "y": (np.float32, (2, 2)),
        "size": (np.int32, ()),
    }
    assert answer["y"].tolist() == [[1.5, 2.5], [3.5, 4.5]]


@pytest.mark.parametrize("shape", [(6,), (2, 3), (0,)])
def test_strings_and_a_table(model, shape):
    text = np.array(STRINGS, object)[: int(np.prod(shape))].reshape(shape)
    answer = model.run({"text": text}, "strings")
    assert answer["same"].dtype == answer["joined"].dtype == object
    np.testing.assert_array_equal(answer["same"], text)
    assert answer["joined"].item() == b"".join(text.ravel())
    assert model.run({"text": np.array([b"cat", b"dog"], object)}, "strings")["index"].tolist() == [1, -1]


def test_wrong_requests(model, path):
    with pytest.raises(ValueError, match=r"no signature 'predict': the model has .*'failing'"):
        model.run({}, "predict")
    with pytest.raises(ValueError, match=r"takes \['bias', 'x'\], not \['x'\]"):
        model.run({"x": np.zeros((1, 2), np.float32)})
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many of them"):
        model.run({"x": np.zeros(3, np.float32)}, "failing")
    assert model.run({"x": np.zeros(2, np.float32)}, "failing")["x"].tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="tag"):
        SavedModelSession(path, tag="train")
    with pytest.raises(OSError, match="absent"):
        SavedModelSession(path / "absent")


def test_closed(path):
    with SavedModelSession(path) as model:
        model.run({"x": np.zeros(2, np.float32)}, "failing")
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.run({"x": np.zeros(2, np.float32)}, "failing")


def test_threads(model):
    def ask(number: int) -> bool:
        text = np.array([f"{number} {'text' * 20}".encode()] * 10, object)
        return all((model.run({"text": text}, "strings")["same"] == text).all() for _ in range(20))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(8)))

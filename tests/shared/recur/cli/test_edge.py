"""A recurrent SavedModel becomes a LiteRT model that answers alike; what cannot be converted is said."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from recur.layers.builders import recurrent_layer
from recur.serving.warmup import read_warmup_requests, write_warmup_requests

pytestmark = pytest.mark.slow

WINDOW, HORIZON = 16, 3


def prices(rows: int) -> np.ndarray:
    steps = np.random.default_rng(0).normal(0, 0.01, (rows, WINDOW))
    return (100 * np.exp(np.cumsum(steps, axis=1))).astype(np.float32)


class Forecaster(tf.Module):
    """Prices in, quantiles out; an LSTM, and a GRU over it."""

    def __init__(self):
        super().__init__()
        keras.utils.set_random_seed(0)
        inputs = keras.Input((WINDOW, 1))
        hidden = recurrent_layer("gru", 24)(recurrent_layer("lstm", 48, return_sequences=True)(inputs))
        model = keras.Model(inputs, keras.layers.Dense(HORIZON * 2)(hidden))
        self.owned, self.model = [variable.value for variable in model.variables], lambda: model

    @tf.function(input_signature=[tf.TensorSpec([None, WINDOW], tf.float32, "close")], autograph=False)
    def forecast(self, close):
        last = close[:, -1:]
        found = self.model()(tf.math.log(close / last)[..., None], training=False)
        return {"quantiles": tf.reshape(last * tf.exp(0.01 * found), [-1, HORIZON, 2]), "last": last[:, 0]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "word")])
    def look_up(self, word):
        return {"text": tf.strings.as_string(word)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    module, folder = Forecaster(), tmp_path_factory.mktemp("forecaster")
    signatures = {"serving_default": module.forecast, "words": module.look_up}
    tf.saved_model.save(module, str(folder / "1"), signatures)
    write_warmup_requests(folder / "1", "forecaster", {"serving_default": {"close": prices(4)}})
    return folder


def test_every_form_answers_as_the_export_does(all_applications, model):
    loaded = tf.saved_model.load(str(model / "1")).signatures["serving_default"]
    sizes = {}
    for form, share, rows in (("float32", 1e-5, 4), ("float16", 1e-3, 1), ("int8", 1e-2, 1)):
        answer = all_applications("edge", model, "--to", "x.tflite", "--form", form, "--rows", rows, "--json")
        assert answer.status == 0, answer
        found = json.loads(answer.output)
        content = (all_applications.folder / "x.tflite").read_bytes()
        sizes[form] = len(content)
        assert found["bytes"] == len(content)
        assert not [name for name in found["operations"] if name.startswith("Flex")]
        assert found["deviation"].keys() == {"quantiles", "last"}
        assert found["deviation"]["quantiles"]["share"] <= share
        assert found["deviation"]["last"]["absolute"] == 0

        with pytest.warns(UserWarning, match=r"tf.lite.Interpreter is deprecated"):
            interpreter = tf.lite.Interpreter(model_content=content)
        close = prices(8)[:rows]
        found = interpreter.get_signature_runner("serving_default")(close=close)
        np.testing.assert_allclose(found["quantiles"], loaded(close=tf.constant(close))["quantiles"], rtol=share)
    assert max(sizes["int8"], sizes["float16"]) < sizes["float32"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "x.bin"], "--to x.bin should be a file that ends in .tflite"),
        (["--to", "absent/x.tflite"], "in a folder that exists"),
        (["--to", "x.tflite", "--rows", "0"], "--rows should be at least 1, not 0"),
        (["--to", "x.tflite", "--form", "int4"], "--form"),
        (["--to", "x.tflite", "--signature", "absent"], "has no signature absent; it has serving_default, words"),
        (
            ["--to", "x.tflite", "--signature", "words"],
            "cannot be converted (LiteRT lacks AsString); serve it",
        ),
    ],
)
def test_bad_usage_and_what_litert_lacks(all_applications, model, words, message):
    assert message in all_applications.refused("edge", model, *words)


def test_text_stays_on_the_server(all_applications, tiny_models):
    message = all_applications.refused("edge", tiny_models / "text_generation", "--to", "x.tflite")
    assert "takes strings (prompt), for which LiteRT has no operations" in message


def test_what_is_damaged(all_applications):
    (all_applications.folder / "1").mkdir()
    (all_applications.folder / "1" / "saved_model.pb").write_bytes(b"text")
    assert "1 is damaged; export it again" in all_applications.refused("edge", "1", "--to", "x.tflite")


def test_warmup_requests_are_read_again(model, tmp_path):
    np.testing.assert_array_equal(read_warmup_requests(model / "1")["serving_default"]["close"], prices(4))
    assert read_warmup_requests(tmp_path) == {}

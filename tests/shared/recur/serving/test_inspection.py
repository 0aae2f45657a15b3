"""What `inspect` says of an exported model, and what it makes of bad ones."""

import json
import shutil

import pytest
import tensorflow as tf

from recur.serving.inspection import inspection

pytestmark = pytest.mark.slow


def test_an_export(all_applications, tiny_models):
    answer = all_applications("inspect", tiny_models / "text_generation", "--json")
    assert answer.status == 0, answer
    found = json.loads(answer.output)
    assert found["path"] == str(tiny_models / "text_generation" / "1")
    assert found["signatures"]["serving_default"] == {
        "inputs": {"prompt": {"dtype": "string", "shape": [None]}},
        "outputs": {"text": {"dtype": "string", "shape": [None]}},
    }
    assert found["signatures"]["sample"]["inputs"]["temperature"] == {"dtype": "float32", "shape": [None]}
    assert found["varying"] == found["operations"]["outside"] == found["must_compile"] == found["checksum_faults"] == []
    assert found["warmup_requests"] == 2
    assert found["variables"] > 3
    assert found["bytes"] > 4 * found["parameters"] > 1000

    answer = all_applications("inspect", tiny_models / "text_generation" / "1")
    assert answer.status == 0
    assert "serving_default" in answer.output
    for line in (
        "outside stock TensorFlow and TF.Text: none",
        "warm-up requests: 2",
        "SHA256SUMS: all files are as written",
    ):
        assert line in answer.output


def test_what_a_stock_server_lacks_is_found(tmp_path):
    class Doubtful(tf.Module):
        def __init__(self):
            super().__init__()
            (tmp_path / "words").write_text("a\nb\n")
            index = tf.lookup.TextFileIndex
            words = (str(tmp_path / "words"), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER)
            self.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(*words), -1)
            self.variable = tf.Variable(tf.zeros([2, 3]))

        @tf.function(jit_compile=True)
        def compiled(self, x):
            return x @ self.variable

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")])
        def serve(self, x):
            return {"y": tf.py_function(lambda value: value + 1, [self.compiled(x)], tf.float32)}

    module = Doubtful()
    tf.saved_model.save(module, str(tmp_path / "1"), {"serving_default": module.serve})
    found = inspection(tmp_path)  # of the newest version
    assert found["varying"] == ["serving_default: y"]
    assert found["operations"]["outside"] == ["EagerPyFunc"]
    assert found["must_compile"]
    assert (found["variables"], found["parameters"]) == (1, 6)
    assert found["assets"] == {"words": 4}
    assert found["warmup_requests"] == 0
    assert found["checksum_faults"] is None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", "there is no folder absent; name an exported model, say saved_models/NAME or one version"),
        ("empty", "empty is no exported model (it has neither saved_model.pb nor versions); export one first"),
        ("models", "models is no exported model (it has neither saved_model.pb nor versions); there are: bad"),
        ("models/bad", "models/bad/10 is damaged ('models/bad/10/saved_model.pb' is no SavedModel"),
    ],
)
def test_bad_input(all_applications, path, message):
    folder = all_applications.folder
    (folder / "empty").mkdir()
    for version in ("9", "10", "011"):
        (folder / "models" / "bad" / version).mkdir(parents=True)
        (folder / "models" / "bad" / version / "saved_model.pb").write_bytes(b"this is text, not a graph")
    assert message in all_applications.refused("inspect", path)


def test_a_record_that_is_cut_short(all_applications, tiny_models):
    shutil.copytree(tiny_models / "text_generation" / "1", all_applications.folder / "1")
    records = all_applications.folder / "1" / "assets.extra" / "tf_serving_warmup_requests"
    records.write_bytes(records.read_bytes()[:-1])
    assert "tf_serving_warmup_requests is cut short" in all_applications.refused("inspect", "1")

import json

import numpy as np
import pytest

from tfserving_dev.json_answers import error_body, predict_body
from tfserving_dev.serving_error import ServingError


def test_one_output_stands_without_its_name():
    y = np.array([[0.1, 1], [2, 1e-7]], np.float32)
    assert predict_body({"y": y}, rows=True) == b'{"predictions":[[0.1,1.0],[2.0,1e-7]]}'
    assert json.loads(predict_body({"y": y}, rows=False)) == {"outputs": [[0.1, 1], [2, 1e-7]]}
    assert json.loads(predict_body({"y": np.float32(0.1).reshape(())}, rows=False)) == {"outputs": 0.1}


def test_several_outputs():
    outputs = {
        "flag": np.array([True, False]),
        "text": np.array(["a", "żółw"], object),
        "n": np.array([[1, -(2**63)], [3, 4]], np.int64),
        "p": np.array([0.1, 0.2], np.float64),
    }
    outputs["text"] = np.array([text.encode() for text in outputs["text"]], object)
    rows = [
        {"flag": True, "text": "a", "n": [1, -(2**63)], "p": 0.1},
        {"flag": False, "text": "żółw", "n": [3, 4], "p": 0.2},
    ]
    assert json.loads(predict_body(outputs, rows=True)) == {"predictions": rows}
    columns = {name: [row[name] for row in rows] for name in outputs}
    assert json.loads(predict_body(outputs, rows=False)) == {"outputs": columns}


@pytest.mark.parametrize("rows", [True, False])
def test_what_json_has_no_word_for(rows):
    y = np.array([np.nan, np.inf, -np.inf, 0.1], np.float32)
    key = b"predictions" if rows else b"outputs"
    assert predict_body({"y": y}, rows) == b'{"%s":[NaN,Infinity,-Infinity,0.1]}' % key


def test_bytes():
    content = np.array([b"\x00\xff", b""], object)
    assert predict_body({"image_bytes": content}, rows=True) == b'{"predictions":[{"b64":"AP8="},{"b64":""}]}'
    # Without the suffix they are written as they are, which is no JSON, as in TensorFlow Serving.
    assert predict_body({"image": content}, rows=True) == b'{"predictions":["\\u0000\xff",""]}'
    nested = np.array([[b"a", b"b"], [b"c", b"d"]], object)
    assert predict_body({"tokens": nested}, rows=False) == b'{"outputs":[["a","b"],["c","d"]]}'
    assert predict_body({"t": np.array(b"a", object)}, rows=False) == b'{"outputs":"a"}'


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": np.float32(1).reshape(())}, "Tensor name: y has no shape information"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "Tensor name: b has inconsistent batch size: 3 expecting: 2"),
        ({"y": np.zeros(2, np.float16)}, "Failed to write JSON value for tensor type: half"),
        ({"y": np.zeros(2, np.complex64)}, "Failed to write JSON value for tensor type: complex64"),
    ],
)
def test_what_cannot_be_answered(outputs, message):
    with pytest.raises(ServingError, match=message):
        predict_body(outputs, rows=True)


def test_errors():
    assert json.loads(error_body('with "quotes"\n and żółw')) == {"error": 'with "quotes"\n and żółw'}
    assert json.loads(error_body("half a pair: \ud800"))["error"].startswith("half a pair")

"""Requests that TensorFlow Serving runs before it reports a model as available."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from recur.serving.repository import WARMUP_FILE


def write_warmup_requests(saved_model: Path, model_name: str, requests: Mapping[str, Mapping[str, Any]]) -> Path:
    """Writes one `PredictionLog` a signature where TensorFlow Serving looks for them.

    Args:
        saved_model: Folder of the SavedModel.
        model_name: Name under which it is served.
        requests: For each signature, the inputs by name (arrays).

    Returns:
        The TFRecord file.
    """
    path = saved_model / WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
    return path


def read_warmup_requests(saved_model: Path) -> dict[str, dict[str, np.ndarray]]:
    """The requests that a version is warmed up with: inputs by name for each signature; none where there is no file."""
    path = saved_model / WARMUP_FILE
    if not path.is_file():
        return {}
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    requests = [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
    return {
        request.model_spec.signature_name: {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        for request in requests
    }

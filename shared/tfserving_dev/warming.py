"""Runs the requests that come with an export, before the first client's."""

from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from recur.serving.warmup import WARMUP_FILE
from tfserving_dev.example_calls import classify_call, multi_inference_calls, regress_call
from tfserving_dev.model_call import ModelCall, predict_call
from tfserving_dev.servable import Servable
from tfserving_dev.serving_error import ServingError, invalid
from tfserving_dev.status import Code

MOST_RECORDS = 1000


def warm_up(servable: Servable, folder: Path) -> int:
    """Runs every warm-up record of a version, in this thread.

    Args:
        servable: The version, loaded.
        folder: Its folder.

    Returns:
        The number of records; 0 where there is no file of them.

    Raises:
        ServingError: A record is damaged, asks what the model does not answer, or is one too many.
    """
    path = folder / WARMUP_FILE
    if not path.is_file():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            count += 1
            if count > MOST_RECORDS:
                raise invalid(f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}")
            for call in _calls(prediction_log_pb2.PredictionLog.FromString(record), servable):
                call.answer(servable.run(call.signature, call.inputs))
    except (tf.errors.DataLossError, DecodeError) as error:
        message = f"{error}. Please verify your warmup data is in TFRecord format."
        raise ServingError(Code.DATA_LOSS, message) from None
    return count


def _calls(log: prediction_log_pb2.PredictionLog, servable: Servable) -> list[ModelCall]:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        return [predict_call(log.predict_log.request, servable)]
    if kind == "classify_log":
        return [classify_call(log.classify_log.request, servable)]
    if kind == "regress_log":
        return [regress_call(log.regress_log.request, servable)]
    if kind == "multi_inference_log":
        return multi_inference_calls(log.multi_inference_log.request, servable)
    raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")

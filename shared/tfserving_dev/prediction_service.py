"""gRPC's `PredictionService`."""

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tfserving_dev.catalogue import Catalogue
from tfserving_dev.example_calls import classify_call, multi_inference_calls, regress_call
from tfserving_dev.grpc_answers import GrpcAnswers
from tfserving_dev.model_call import ModelCall, predict_call
from tfserving_dev.model_metadata import check_metadata_request, metadata
from tfserving_dev.servable import Servable
from tfserving_dev.serving_error import ServingError, invalid
from tfserving_dev.status import Code

Context = grpc.ServicerContext
_LONGEST = 3600.0  # seconds


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Runs signatures for gRPC clients.

    Args:
        catalogue: Where models are found.
        answers: What turns errors into gRPC's, and counts.
    """

    def __init__(self, catalogue: Catalogue, answers: GrpcAnswers):
        self._catalogue, self._answers = catalogue, answers

    def Predict(self, request: predict_pb2.PredictRequest, context: Context) -> predict_pb2.PredictResponse:  # noqa: N802
        """Runs a signature on tensors."""
        return self._run("Predict", request, context, predict_call)

    def Classify(self, request: Any, context: Context) -> classification_pb2.ClassificationResponse:  # noqa: N802
        """Runs a signature that classifies examples."""
        return self._run("Classify", request, context, classify_call)

    def Regress(self, request: Any, context: Context) -> regression_pb2.RegressionResponse:  # noqa: N802
        """Runs a signature that gives a number for each example."""
        return self._run("Regress", request, context, regress_call)

    def MultiInference(self, request: Any, context: Context) -> inference_pb2.MultiInferenceResponse:  # noqa: N802
        """Runs several signatures of a model on the same examples."""

        def answer() -> inference_pb2.MultiInferenceResponse:
            if not request.tasks or not all(task.model_spec.name for task in request.tasks):
                raise invalid("Found ModelSpec with an empty model name.")
            with self._catalogue.lease(request.tasks[0].model_spec) as servable:
                calls = multi_inference_calls(request, servable)
                results = [call.answer(_outputs(servable, call, context)) for call in calls]
            return inference_pb2.MultiInferenceResponse(results=results)

        name = request.tasks[0].model_spec.name if request.tasks else ""
        return self._answers.answer("MultiInference", name, context, answer)

    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: Context
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Says what the signatures of a model take and return."""

        def answer() -> get_model_metadata_pb2.GetModelMetadataResponse:
            check_metadata_request(request)
            with self._catalogue.lease(request.model_spec) as servable:
                return metadata(servable)

        return self._answers.answer("GetModelMetadata", request.model_spec.name, context, answer)

    def _run(self, api: str, request: Any, context: Context, call_of: Callable[[Any, Servable], ModelCall]) -> Any:
        def answer() -> Any:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            with self._catalogue.lease(request.model_spec) as servable:
                call = call_of(request, servable)
                return call.answer(_outputs(servable, call, context))

        return self._answers.answer(api, request.model_spec.name, context, answer)


def _outputs(servable: Servable, call: ModelCall, context: Context) -> dict[str, np.ndarray]:
    future = servable.submit(call.signature, call.inputs)
    context.add_callback(future.cancel)  # a client that has gone away needs no answer
    try:
        return future.result(min(context.time_remaining() or _LONGEST, _LONGEST))  # without a deadline it is eternity
    except TimeoutError:
        future.cancel()
        raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded") from None

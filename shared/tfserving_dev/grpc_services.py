"""gRPC's `PredictionService` and `ModelService`."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, TypeAlias, TypeVar

import grpc
import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tfserving_dev.catalogue import Catalogue, Servable, check_metadata_request, metadata
from tfserving_dev.configuration import check_models
from tfserving_dev.errors import Code, ServingError, invalid
from tfserving_dev.examples import classify_call, multi_inference_calls, regress_call
from tfserving_dev.metrics import Metrics
from tfserving_dev.predict import ModelCall, predict_call
from tfserving_dev.watcher import Watcher

_LOG = logging.getLogger(__name__)
_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_LONGEST_MESSAGE = 2048  # characters: a status travels among the headers, which clients take up to 8 KB of
ResponseT = TypeVar("ResponseT")
Context: TypeAlias = grpc.ServicerContext
_LONGEST_WAIT = 3600.0  # seconds; without a deadline the time that remains is eternity


class _Service:
    """Answers requests: errors as gRPC has them, one line in the log, a count.

    Args:
        catalogue: What is served; other names are not counted by name.
        metrics: What counts requests.
    """

    def __init__(self, catalogue: Catalogue, metrics: Metrics):
        self._catalogue, self._metrics = catalogue, metrics

    def _answer(self, api: str, model: str, context: Context, function: Callable[[], ResponseT]) -> ResponseT:
        """What a function returns to a method `api` for a model; where it fails, the call ends with its error."""
        start = time.perf_counter()
        error = None
        try:
            return function()
        except ServingError as raised:
            error = raised
        except CancelledError:
            error = ServingError(Code.CANCELLED, "the client has cancelled the request")
        except Exception as raised:  # noqa: BLE001 - the client is told that it was us, and no more
            _LOG.error("%s of %r failed: %s: %s", api, model, type(raised).__name__, " ".join(str(raised).split()))
            error = ServingError(Code.INTERNAL, "internal error")
        finally:
            code = error.code if error else Code.OK
            name = model if model in self._catalogue.models() else ""
            self._metrics.answered(name, api, "GRPC", code, time.perf_counter() - start)
        _LOG.info("%s of %r: %s %s", api, model, code.name, " ".join(error.message[:300].split()))
        context.abort(_STATUS[code], error.message[:_LONGEST_MESSAGE])
        raise AssertionError  # `abort` has raised


class PredictionService(_Service, prediction_service_pb2_grpc.PredictionServiceServicer):
    """Runs signatures for gRPC clients."""

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
        return self._answer("MultiInference", name, context, answer)

    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: Context
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Says what the signatures of a model take and return."""

        def answer() -> get_model_metadata_pb2.GetModelMetadataResponse:
            check_metadata_request(request)
            with self._catalogue.lease(request.model_spec) as servable:
                return metadata(servable)

        return self._answer("GetModelMetadata", request.model_spec.name, context, answer)

    def _run(self, api: str, request: Any, context: Context, call_of: Callable[[Any, Servable], ModelCall]) -> Any:
        def answer() -> Any:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            with self._catalogue.lease(request.model_spec) as servable:
                call = call_of(request, servable)
                return call.answer(_outputs(servable, call, context))

        return self._answer(api, request.model_spec.name, context, answer)


def _outputs(servable: Servable, call: ModelCall, context: Context) -> dict[str, np.ndarray]:
    future = servable.submit(call.signature, call.inputs)
    context.add_callback(future.cancel)  # a client that has gone away needs no answer
    try:
        return future.result(min(context.time_remaining() or _LONGEST_WAIT, _LONGEST_WAIT))
    except TimeoutError:
        future.cancel()
        raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded") from None


class ModelService(_Service, model_service_pb2_grpc.ModelServiceServicer):
    """Says what became of versions, and takes another configuration.

    Args:
        catalogue: What is served.
        metrics: What counts requests.
        watcher: What makes it so.
    """

    def __init__(self, catalogue: Catalogue, metrics: Metrics, watcher: Watcher):
        super().__init__(catalogue, metrics)
        self._watcher = watcher

    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: Context
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Says what became of the versions of a model."""

        def answer() -> get_model_status_pb2.GetModelStatusResponse:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            return self._catalogue.status(request.model_spec)

        return self._answer("GetModelStatus", request.model_spec.name, context, answer)

    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: Context
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves the models of the request from now on; answers when they are loaded."""

        def answer() -> model_management_pb2.ReloadConfigResponse:
            if request.config.WhichOneof("config") != "model_config_list":
                what = "Only ModelConfigList is currently supported"
                raise invalid(f"ServerModelConfig type not supported by HandleReloadConfigRequest. {what}")
            check_models(request.config)
            for model in request.config.model_config_list.config:
                if not model.base_path.startswith("/"):
                    what = f"to have an absolute path or URI; got base_path()={model.base_path}"
                    raise invalid(f"Expected model {model.name} {what}")
            self._watcher.configure(list(request.config.model_config_list.config))
            return model_management_pb2.ReloadConfigResponse(status={"error_code": 0})

        return self._answer("ReloadConfig", "", context, answer)

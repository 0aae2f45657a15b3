"""gRPC's `ModelService`."""

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from tfserving_dev.catalogue import Catalogue
from tfserving_dev.grpc_answers import GrpcAnswers
from tfserving_dev.model_config import check_models
from tfserving_dev.serving_error import invalid
from tfserving_dev.watcher import Watcher


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Says what became of versions, and takes another configuration.

    Args:
        catalogue: What is served.
        watcher: What makes it so.
        answers: What turns errors into gRPC's, and counts.
    """

    def __init__(self, catalogue: Catalogue, watcher: Watcher, answers: GrpcAnswers):
        self._catalogue, self._watcher, self._answers = catalogue, watcher, answers

    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Says what became of the versions of a model."""

        def answer() -> get_model_status_pb2.GetModelStatusResponse:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            return self._catalogue.status(request.model_spec)

        return self._answers.answer("GetModelStatus", request.model_spec.name, context, answer)

    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
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

        return self._answers.answer("ReloadConfig", "", context, answer)

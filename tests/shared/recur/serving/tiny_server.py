"""Just enough of TensorFlow Serving to test a client against: one version of one model, which refuses when told to."""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from recur.serving.codec import DTYPES, fill_tensor_proto, from_tensor_proto
from tfserving_dev.session import NativeError, NativeSavedModel

_NAMES = {np.dtype(kind): name for name, kind in DTYPES.items()}


class TinyServer(contextlib.AbstractContextManager):
    """Serves version 1 of a model at `rest` and at `grpc`.

    `refusals` is called before each request, with the number of requests so far; what it returns, an HTTP status with
    its gRPC code, is answered instead.
    """

    def __init__(self, path: Path, name: str, refusals: Callable[[int], tuple[int, Any] | None] = lambda count: None):
        self.model, self.name, self.refusals, self.count = NativeSavedModel(path), name, refusals, 0
        self.rows: list[int] = []
        handler = type("Handler", (_Handler,), {"tiny": self})
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self._grpc = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Servicer(self), self._grpc)
        port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self.rest, self.grpc = f"http://127.0.0.1:{self._http.server_port}", f"grpc://127.0.0.1:{port}"

    def refused(self) -> tuple[int, Any] | None:
        self.count += 1
        return self.refusals(self.count)

    def run(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        self.rows.append(len(next(iter(inputs.values()))))
        return self.model.run(inputs, signature)

    def __exit__(self, *exception: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self._grpc.stop(None).wait()
        self.model.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    tiny: TinyServer
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        paths = [f"/v1/models/{self.tiny.name}{version}/metadata" for version in ("", "/versions/1", "/labels/stable")]
        if self.path not in paths:
            self._answer(404, {"error": f"Servable not found for request: {self.path}"})
            return
        signatures = {
            name: {
                "inputs": {each: _info(*spec) for each, spec in signature.inputs.items()},
                "outputs": {each: _info(*spec) for each, spec in signature.outputs.items()},
                "method_name": "tensorflow/serving/predict",
            }
            for name, signature in self.tiny.model.signatures.items()
        }
        spec = {"name": self.tiny.name, "signature_name": "", "version": "1"}
        self._answer(200, {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if refusal := self.tiny.refused():
            self._answer(refusal[0], {"error": "refused"})
            return
        signature = self.tiny.model.signatures[body["signature_name"]]
        try:
            inputs = {name: _array(value, *signature.inputs[name]) for name, value in body["inputs"].items()}
            found = self.tiny.run(body["signature_name"], inputs)
        except (NativeError, ValueError) as error:
            self._answer(400, {"error": str(error)})
            return
        outputs = {name: _plain(array.tolist()) for name, array in found.items()}
        self._answer(200, {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))})

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogateescape")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


class _Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, tiny: TinyServer):
        self.tiny = tiny

    def GetModelMetadata(self, request, context):  # noqa: N802 - gRPC's name
        if request.model_spec.name != self.tiny.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request.model_spec.name}")
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self.tiny.model.signatures.items():
            for key, (_, shape) in signature.inputs.items():
                info = found.signature_def[name].inputs[key]
                for size in shape or ():
                    info.tensor_shape.dim.add(size=-1 if size is None else size)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(found)
        return response

    def Predict(self, request, context):  # noqa: N802 - gRPC's name
        if refusal := self.tiny.refused():
            context.abort(refusal[1], "refused")
        spec = request.model_spec
        version = spec.version.value or spec.version_label or 1
        if spec.name != self.tiny.name or version not in (1, "stable"):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {spec.name}")
        inputs = {name: from_tensor_proto(tensor) for name, tensor in request.inputs.items()}
        try:
            found = self.tiny.run(spec.signature_name, inputs)
        except (NativeError, ValueError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = predict_pb2.PredictResponse()
        for name, array in found.items():
            fill_tensor_proto(response.outputs[name], array)
        return response


def _info(dtype: np.dtype, shape: tuple | None) -> dict[str, Any]:
    sizes = [{"size": str(-1 if size is None else size), "name": ""} for size in shape or ()]
    return {"dtype": _NAMES[dtype], "tensor_shape": {"dim": sizes, "unknown_rank": shape is None}, "name": "x:0"}


def _array(value: Any, dtype: np.dtype, shape: tuple) -> np.ndarray:
    if dtype.kind != "O":
        return np.array(value, dtype)
    plain = [base64.b64decode(text["b64"]) if isinstance(text, dict) else text.encode() for text in value]
    return np.array(plain, object)


def _plain(value: Any) -> Any:
    """Strings as the server writes them, whether UTF-8 or not."""
    return [_plain(each) for each in value] if isinstance(value, list) else _text(value)


def _text(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value

"""TensorFlow Serving's REST interface, asked by urllib3: no TensorFlow is needed."""

import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np
import urllib3
from urllib3 import exceptions

from recur.errors import InputError
from recur.serving.codec import DTYPES, Spec, from_json, read_document, request_body
from recur.serving.endpoint import Asking, Endpoint, ServerError, Unavailable
from recur.training.application import Shapes

_CONNECTIONS = 64
_BUSY = (429, 503)  # a request has waited too long in the queue; the queue is full


class RestProtocol(Asking):
    """Asks a model over HTTP, in the column format; connections stay open for the next request.

    What a signature answers, and of which type, is asked once (`/metadata`), because JSON does not say it.

    Args:
        endpoint: The model.
    """

    def __init__(self, endpoint: Endpoint):
        self._server = endpoint.server
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, retries=False)
        self._url = f"{endpoint.server}/v1/models/{urllib.parse.quote(endpoint.model, safe='')}"
        if endpoint.version is not None:
            self._url += f"/versions/{endpoint.version}"
        elif endpoint.label is not None:
            self._url += f"/labels/{urllib.parse.quote(endpoint.label, safe='')}"
        self._model = endpoint.model
        self._signatures: dict[str, tuple[dict[str, Spec], dict[str, Spec]]] = {}

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], timeout: float) -> dict[str, np.ndarray]:
        """Asks once."""
        outputs = self._signature(signature, timeout)
        answered = self._ask("POST", ":predict", timeout, request_body(signature, inputs)).get("outputs")
        if len(outputs) == 1:  # then its name is left out
            answered = {next(iter(outputs)): answered}
        if not isinstance(answered, dict) or answered.keys() != outputs.keys():
            raise ServerError(f"{self._server} answers something else than {', '.join(outputs)}")
        try:
            return {name: from_json(answered[name], spec) for name, spec in outputs.items()}
        except (ValueError, TypeError, OverflowError) as error:
            raise ServerError(f"{self._server} answers with no tensor: {error}") from None

    def shapes(self, timeout: float) -> Shapes:
        """What each signature takes."""
        self._describe(timeout)
        return {
            name: {key: tuple(None if size < 0 else size for size in sizes) for key, (_, sizes) in inputs.items()}
            for name, (inputs, _) in self._signatures.items()
        }

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()

    def _signature(self, name: str, timeout: float) -> dict[str, Spec]:
        """Type and shape of each output of a signature."""
        self._describe(timeout)
        if name not in self._signatures:
            known = ", ".join(self._signatures)
            raise InputError(f"{self._model} at {self._server} has no signature {name}; it has {known}")
        return self._signatures[name][1]

    def _describe(self, timeout: float) -> None:
        """Asks once for types and shapes of all inputs and outputs."""
        if self._signatures:
            return
        described = self._ask("GET", "/metadata", timeout)
        try:
            signatures = described["metadata"]["signature_def"]["signature_def"]
            self._signatures = {
                name: (_specs(signature["inputs"]), _specs(signature["outputs"]))
                for name, signature in signatures.items()
                if not name.startswith("__saved_model")
            }
        except (KeyError, TypeError, AttributeError, ValueError):
            raise ServerError(f"{self._server} does not say what {self._model} answers") from None

    def _ask(self, method: str, path: str, timeout: float, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} if body is not None else None
        limit = urllib3.Timeout(total=timeout)
        try:
            answer = self._pool.request(method, self._url + path, body=body, headers=headers, timeout=limit)
        except exceptions.NameResolutionError:
            raise InputError(f"there is no host of that name: {self._server}; see `server`") from None
        except exceptions.NewConnectionError as error:
            if not isinstance(error.__cause__, ConnectionRefusedError):
                raise InputError(f"cannot reach {self._server} ({error.__cause__ or error}); see `server`") from None
            raise Unavailable(f"nothing listens at {self._server}") from None
        except exceptions.TimeoutError:  # of which that of a new connection is one too
            raise InputError(f"{self._server} has not answered in time; raise `deadline`, or ask for less") from None
        except exceptions.ProtocolError:  # what gRPC too calls unavailable: it went away before it answered
            raise Unavailable(f"{self._server} closed the connection") from None
        except exceptions.HTTPError as error:
            raise InputError(f"cannot ask {self._server} ({error}); see `server`") from None
        return self._checked(answer)

    def _checked(self, answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        try:
            content = read_document(answer.data)
        except ValueError:
            content = None
        message = content.get("error") if isinstance(content, dict) else None
        reason = f"{answer.status}: {message or answer.reason}"
        if answer.status in _BUSY:
            raise Unavailable(f"{self._server} is busy ({reason})")
        if 400 <= answer.status < 500:
            raise InputError(f"{self._server} refuses the request for {self._model} ({reason})")
        if answer.status != 200 or not isinstance(content, dict):
            raise ServerError(f"{self._server} failed ({reason})")
        return content


def _specs(tensors: Mapping[str, Mapping[str, Any]]) -> dict[str, Spec]:
    return {name: _spec(info) for name, info in tensors.items()}


def _spec(info: Mapping[str, Any]) -> Spec:
    shape = info.get("tensor_shape") or {}
    sizes = () if shape.get("unknown_rank") else tuple(int(dim["size"]) for dim in shape.get("dim", ()))
    return DTYPES[info["dtype"]], sizes

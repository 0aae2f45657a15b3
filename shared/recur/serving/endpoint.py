"""Which model of which server: what both protocols need to know."""

import dataclasses
import urllib.parse
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from recur.errors import InputError
from recur.training.application import Shapes

PORTS = {"http": 8501, "https": 443, "grpc": 8500}
"""By the scheme of a server's URL; those of TensorFlow Serving's container."""


class ServerError(RuntimeError):
    """A server failed to answer a request that it does not call wrong."""


class Unavailable(Exception):  # noqa: N818 - it is caught as what it says
    """There is no server yet, it has too much to do, or it is about to stop: the same request may do better later."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A model of a server.

    Attributes:
        scheme: `http`, `https` or `grpc`.
        host: Name or address; an IPv6 address without brackets.
        port: Of the protocol that the scheme says.
        prefix: What stands before `/v1` in paths, where a proxy wants that; REST only.
        model: Its name.
        version: Its version; the newest by default.
        label: Instead of a version, a label that the server knows.
    """

    scheme: str
    host: str
    port: int
    prefix: str
    model: str
    version: int | None = None
    label: str | None = None

    @property
    def authority(self) -> str:
        """Host and port as a URL has them."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def server(self) -> str:
        """The URL without the model."""
        return f"{self.scheme}://{self.authority}{self.prefix}"


def parse_endpoint(server: str, model: str, version: int | None = None, label: str | None = None) -> Endpoint:
    """Reads a server's URL: `http://host:8501` for REST, `grpc://host:8500` for gRPC; the ports are the defaults.

    Raises:
        InputError: It is no such URL, or both a version and a label are given.
    """
    if version is not None and label is not None:
        raise InputError("a label stands for a version; say `version` or `label`")
    example = "say http://localhost:8501 for REST or grpc://localhost:8500 for gRPC"
    try:
        parts = urllib.parse.urlsplit(server)
        port = parts.port
    except ValueError:
        raise InputError(f"`server` {server} is no URL; {example}") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise InputError(f"`server` {server} has no scheme and host; {example}")
    if parts.query or parts.fragment or parts.username or (parts.scheme == "grpc" and parts.path.strip("/")):
        raise InputError(f"`server` {server} says more than scheme, host and port; {example}")
    prefix = parts.path.rstrip("/")
    return Endpoint(parts.scheme, parts.hostname, port or PORTS[parts.scheme], prefix, model, version, label)


class Asking(Protocol):
    """Asks a model of a server, by REST or by gRPC. Threads may share it."""

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], timeout: float) -> dict[str, np.ndarray]:
        """Asks once.

        Args:
            signature: Its name.
            inputs: Arrays by name.
            timeout: Seconds.

        Returns:
            Arrays by name; strings are `bytes` objects.

        Raises:
            Unavailable: No server is there, or it has too much to do.
            InputError: There is no such host or model, the server calls the request wrong, or the time has passed.
            ServerError: The server failed.
        """

    def shapes(self, timeout: float) -> Shapes:
        """What each signature takes; raises as `predict` does."""

    def close(self) -> None:
        """Closes connections."""

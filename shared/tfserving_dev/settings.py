"""What a server is told; `python -m tfserving_dev` has a flag for each."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field

Port = Annotated[int, Field(ge=0, lt=1 << 16)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
METRICS_PATH = "/monitoring/prometheus/metrics"
"""Where Prometheus finds what is counted."""


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """Serve SavedModels by REST and gRPC, with TensorFlow Serving or with a development server."""

    models: Path
    """Folder of all models; its models.config and batching_parameters.txt are used where they are."""
    rest_port: Port = 8501
    """Port of HTTP; 0 takes any that is free (development server)."""
    grpc_port: Port = 8500
    """Port of gRPC."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 for all."""
    server: Literal["auto", "binary", "docker", "development"] = "auto"
    """What serves: tensorflow_model_server, its container, or the development server; auto takes the first there is."""
    image: str = "tensorflow/serving:latest"
    """Image of the container."""
    config: Path | None = None
    """Which models are served (a ModelServerConfig as text); models.config in the folder by default."""
    batching: bool = True
    """Put requests that wait together into batches, where a file says how."""
    batching_parameters: Path | None = None
    """The file; batching_parameters.txt in the folder by default."""
    poll_seconds: Positive = 1.0
    """How often to look for new versions."""
    request_seconds: Positive = 30.0
    """In which a model must answer a REST request."""
    client_seconds: Positive = 60.0
    """In which a client must have sent its request (development server)."""
    drain_seconds: Positive = 30.0
    """In which requests may finish after SIGTERM (development server)."""
    max_body_mb: Positive = 32.0
    """Largest request (development server)."""
    max_waiting: Annotated[int, Field(gt=0, lt=2**31)] = 1000
    """Requests that may wait for a signature with --no-batching (development server)."""
    last_seconds: Annotated[Positive, tyro.conf.Suppress] = 0.5
    """In which clients with an open connection are told that it is the end (development server)."""

    @property
    def largest_body(self) -> int:
        """Bytes of a request."""
        return round(self.max_body_mb * (1 << 20))

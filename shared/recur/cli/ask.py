"""`ask`: as `predict`, but of a server. Nothing is loaded but what makes requests and reads answers."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recur.cli.printing import check_output, inputs_or_lines, print_answers
from recur.errors import InputError
from recur.serving.answers import Asked, answers
from recur.serving.client import DEADLINE, connect
from recur.training.application import Application


@dataclasses.dataclass(frozen=True)
class Server:
    """Which model of which server."""

    server: str
    """Where it is: http://host:8501 for REST, grpc://host:8500 for gRPC."""
    model: str | None = None
    """Name of the model there; by default the application's."""
    version: int | None = None
    """Its version; by default the newest."""
    label: str | None = None
    """Instead of a version, a label of the server's configuration."""
    deadline: float = DEADLINE
    """Seconds for an answer, with all tries while the server is not there or busy."""


def ask(
    application: Application,
    server: Server,
    inputs: Sequence[str] | None,
    options: Any,
    as_json: bool = False,
    output: Path | None = None,
) -> None:
    """Answers inputs through a server, and prints as `predict` does.

    Raises:
        InputError: Of the inputs, or as `recur.serving.client.connect` and `Client.ask`.
    """
    if output is not None:
        check_output(output)
    for name in application.needs_run:
        if getattr(options, name) != getattr(type(options)(), name):
            raise InputError(f"--{name.replace('_', '-')} needs the run here; leave it out, or use predict")
    model = server.model or application.name
    with connect(server.server, model, version=server.version, label=server.label, deadline=server.deadline) as client:
        asked = Asked(client.shapes(), client.ask)
        print_answers(application, answers(application, asked, inputs_or_lines(inputs), options), as_json, output)

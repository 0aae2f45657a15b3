"""python -m tfserving_dev --models FOLDER: serves until it is told to stop."""

import dataclasses
import sys
from collections.abc import Sequence

import pydantic
import tyro

from tfserving_dev.errors import InputError
from tfserving_dev.settings import ServerSettings

PROGRAM = "python -m tfserving_dev"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves as the command line says; returns the exit status."""
    settings = tyro.cli(ServerSettings, prog=PROGRAM, args=arguments)
    try:
        settings = pydantic.TypeAdapter(ServerSettings).validate_python(dataclasses.asdict(settings))
        from tfserving_dev.launcher import serve  # loads TensorFlow: after bad usage is answered

        serve(settings)
    except pydantic.ValidationError as error:
        flags = (f"--{str(fault['loc'][0]).replace('_', '-')}: {fault['msg']}" for fault in error.errors())
        return _complain("; ".join(flags))
    except InputError as error:
        return _complain(str(error))
    return 0


def _complain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())

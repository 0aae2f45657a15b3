"""Every application's newest run, exported and made ready for one server."""

import logging
from collections.abc import Sequence
from pathlib import Path

import keras

from recur.errors import InputError
from recur.serving.export import export_run
from recur.serving.repository import SERVER_FOLDER, updated_models_config, write_server_config
from recur.training.application import Application
from recur.training.loading import load
from recur.training.runs import RUNS, Run, open_run

logger = logging.getLogger(__name__)


def export_all(
    applications: Sequence[Application],
    to: Path,
    base: str = SERVER_FOLDER,
    batch_threads: int | None = None,
) -> list[Path]:
    """Exports the newest finished run of each application, then writes `models.config` and batching parameters.

    Prints the folder of each new version, and the two files.

    Args:
        applications: To export; one without a finished run is left out, which is said.
        to: Folder of all exported models.
        base: That folder as the server sees it.
        batch_threads: Batches that the server computes at once.

    Returns:
        The folders of the new versions.

    Raises:
        InputError: No application has a finished run, a run is damaged, or the folder cannot be written.
    """
    runs = [(application, run) for application in applications if (run := _newest(application))]
    if not runs:
        raise InputError(f"no application has a finished run in {RUNS}; train one: python -m apps.NAME train")
    updated_models_config(to, base)  # a damaged one is told before anything is exported
    paths = []
    for application, run in runs:
        keras.utils.clear_session()
        paths.append(export_run(application, run, load(application, run), to))
        print(paths[-1], flush=True)  # noqa: T201
    batchings = [application.batching for application, _ in runs]
    for path in write_server_config(to, batchings, base, batch_threads):
        print(path)  # noqa: T201
    return paths


def _newest(application: Application) -> Run | None:
    try:
        return open_run(application.name, "latest")
    except InputError as error:
        logger.info(f"{application.name} is left out: {error}")
        return None

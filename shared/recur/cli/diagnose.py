"""The command `diagnose`: what the gradients of a run say about it."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from recur.errors import InputError, suggestion
from recur.gradients.diagnosis import diagnose
from recur.gradients.records import read_records
from recur.training import runs
from recur.training.application import Application
from recur.training.runs import Run, open_run


def find_run(applications: Mapping[str, Application], name: str) -> Run:
    """Finds a run of any application.

    Args:
        applications: By name.
        name: `NAME/RUN`, where RUN is `latest` or the name of a folder of `runs/NAME`; or the path of a run directory.

    Raises:
        InputError: There is no such run.
    """
    application, _, rest = name.partition("/")
    if application in applications:
        if not rest:
            raise InputError(f"say which run of {application}: {application}/latest, or {application}/RUN")
        folder = runs.RUNS / application / rest
        return open_run(application, rest if rest == "latest" else folder.as_posix())
    run = Run(Path(name))
    if name and (run.path / "config.json").exists():
        return open_run(run.read_record()["application"], name)
    known = [f"{name}/latest" for name in applications]
    raise InputError(f"there is no run {name!r}; {suggestion(name, known, f'say NAME/RUN: {known[0]}, for instance')}")


def show_diagnosis(run: Run, *, as_json: bool) -> None:
    """Prints what the gradients of a run say: a line a finding, or one JSON object.

    Raises:
        InputError: The run has no gradients written down, or they cannot be read.
    """
    path = run.path / "gradients.csv"
    if not path.exists():
        raise InputError(f"{run.path} has no gradients.csv; train a run with GradientMonitor, then diagnose that")
    try:
        records = read_records(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is damaged ({error}); copy the run again, or train another") from None
    if records.empty:
        raise InputError(f"{path} is still empty; train the run for a step or more")
    findings = diagnose(records)
    if as_json:
        print(json.dumps({"run": run.label, "findings": [dataclasses.asdict(finding) for finding in findings]}))  # noqa: T201
        return
    for finding in findings:
        print(finding)  # noqa: T201
    if not findings:
        looks, last = records["step"].nunique(), records["step"].max()
        print(f"nothing is wrong with the gradients of {run.label}: {looks} looks in {last:,} steps")  # noqa: T201

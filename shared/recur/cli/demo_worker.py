"""A process of the demo: one application, from its sample to an answer of its export.

It reads what to do from standard input, a line of JSON, and writes what happens as lines of JSON to standard output;
everything else that is printed goes to a log. It lives in a session of its own: a Ctrl-C reaches it once, from the
demo, and training then leaves a run to continue.
"""

import contextlib
import datetime
import functools
import importlib
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tqdm

from recur.cli import commands
from recur.cli.demo import Step, finished_section, record_path
from recur.cli.errors import INTERRUPTED, OK, guarded
from recur.errors import InputError
from recur.files import read_json, write_json
from recur.serving.answers import answers, ask_module, ask_saved_model, same_answer
from recur.serving.export import export_run
from recur.serving.session import SavedModelSession
from recur.training import loading, stages
from recur.training.application import Application
from recur.training.runs import RUNS, Run, open_run

logger = logging.getLogger(__name__)


REPORT_SECONDS = 0.5

Report = Callable[..., None]
"""Takes the kind of an event and what belongs to it."""


class ReportingBar:
    """Reports how far training has come; used as a `tqdm` bar is.

    Args:
        report: Takes the events.
        total: Steps in all.
        initial: Steps made before.
        **_: What else a bar is given.
    """

    def __init__(self, report: Report, total: int, initial: int = 0, **_: Any):
        self.report, self.total, self.step = report, total, initial
        self.reported = -math.inf

    def __enter__(self) -> "ReportingBar":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self) -> None:
        """Counts a step."""
        self.step += 1
        if time.monotonic() - self.reported > REPORT_SECONDS:
            self.reported = time.monotonic()
            self.report("step", step=Step.TRAINING, done=self.step / self.total)

    def set_postfix(self, **_: Any) -> None:
        """Shows nothing."""

    def write(self, text: str, **_: Any) -> None:
        """Logs a line."""
        tqdm.tqdm.write(text, file=sys.stderr)


def walk(application: Application, to: Path, report: Report) -> dict[str, Any]:
    """One application from its sample to an answer of its export; goes on where an interrupted one stopped.

    Args:
        application: The application.
        to: Folder of the exports.
        report: Takes the events: `step` with a `Step` and the share of it that is `done`, and `answers`.

    Returns:
        What the page says of the application; it is also in `runs/demo/NAME.json`.

    Raises:
        RuntimeError: The export does not answer as `predict` does.
    """
    record, begin = record_path(application.name), time.monotonic()
    if section := finished_section(application):
        report("answers", answers=section["answers"])
        return section
    config = application.presets["quick"]
    report("step", step=Step.READING, done=0.0)
    corpus = application.task.read("sample", config)
    report("step", step=Step.TRAINING, done=0.0)
    run = _trained_run(application, corpus, record, lambda **given: ReportingBar(report, **given))
    trained = loading.load(application, run)
    report("step", step=Step.ANSWERING, done=0.0)
    module, options = application.task.serving_module(trained), application.options()
    predicted = list(answers(application, ask_module(module), application.requests.examples(), options))
    shown = [_shown(application, answer) for answer in predicted]
    report("answers", answers=shown)
    report("step", step=Step.EVALUATING, done=0.0)
    metrics = commands.measure(application, run, trained, corpus, run)
    report("step", step=Step.EXPORTING, done=0.0)
    path = export_run(application, run, trained, to, module=module)
    with SavedModelSession(path) as saved_model:
        served = list(answers(application, ask_saved_model(saved_model), application.requests.examples(), options))
    if not same_answer(served, predicted):
        raise RuntimeError(f"{path} does not answer as predict does: {served} is not {predicted}")
    section = {
        "run": run.label,
        "metrics": metrics,
        "answers": shown,
        "plots": [plot.name for plot in sorted(run.plots.glob("*.png"))],
        "export": path.as_posix(),
        "seconds": time.monotonic() - begin,
    }
    write_json(record, read_json(record) | {"section": section})
    return section


def _trained_run(application: Application, corpus: Any, record: Path, bar: stages.Bar) -> Run:
    """The run that an interrupted demo left, continued where it is not finished; or a new one."""
    config, versions = application.presets["quick"], stages.versions()
    if record.exists():
        with contextlib.suppress(InputError):
            run = open_run(application.name, read_json(record)["run"])
            known = run.read_record()
            same_run = (loading.run_config(application, run.label), known["versions"]) == (config, versions)
            if same_run and known["data"]["fingerprint"] == corpus.fingerprint:
                return run if known["finished"] else stages.resume(application, run.label, bar)
    path = RUNS / application.name / datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    write_json(record, {"run": path.as_posix()})
    return stages.train(application, "sample", config, "quick", path, corpus, bar)


def _shown(application: Application, answer: dict[str, Any]) -> str:
    """An answer as `predict` prints it, files by their names and not by where they lie on this machine."""
    named = {
        key: Path(value).name
        if isinstance(value, str) and value in application.requests.examples() and "/" in value
        else value
        for key, value in answer.items()
    }
    return application.requests.show(named)


def main() -> int:
    """Runs what standard input names; returns the exit status."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def report(kind: str, **content: Any) -> None:
        print(json.dumps({"event": kind} | content), file=events, flush=True)

    request = json.loads(sys.stdin.readline())
    application = importlib.import_module(request["module"]).APPLICATION
    return _run(application, Path(request["to"]), Path(request["log"]), report)


def _run(application: Application, to: Path, log: Path, report: Report) -> int:
    """Walks through one application and reports how it ended; returns the exit status."""
    with _logged(log):
        logger.info(f"{application.name}: {application.summary}")
        failures: list[str] = []
        command = functools.partial(walk, application, to, report)
        status = guarded(lambda: report("done", section=command()), debug=True, complain=failures.append)
    if status not in (OK, INTERRUPTED):
        report("failed", message=failures[-1], status=status)
    return status


@contextlib.contextmanager
def _logged(log: Path) -> Iterator[None]:
    """Lets what is printed go to a file."""
    with log.open("a", encoding="utf-8") as file:
        kept = [os.dup(descriptor) for descriptor in (1, 2)]
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), kept, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


if __name__ == "__main__":
    sys.exit(main())

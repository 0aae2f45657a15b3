"""Every application from its sample to an answer of its export, side by side, and a page that fills up meanwhile.

This process plans, shows and writes the page; it loads no TensorFlow. `recur.cli.demo_worker` does the work, in as many
processes as there are cores, at most two. What is done is recorded in `runs/demo`, so that a demo that was interrupted
is continued by the next one.
"""

import contextlib
import dataclasses
import enum
import importlib.resources
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import rich.console
import rich.progress

from recur.errors import CommandFailedError, InputError
from recur.files import atomically, read_json
from recur.training.application import Application
from recur.training.runs import RUNS, Run

logger = logging.getLogger(__name__)


FOLDER = RUNS / "demo"
PROCESSES = 2
"""At most: each takes about a gigabyte."""


class Step(enum.StrEnum):
    """What an application is at."""

    WAITING = "waiting"
    READING = "reading its sample"
    TRAINING = "training"
    ANSWERING = "answering"
    EVALUATING = "measuring it beside its baselines"
    EXPORTING = "exporting, and asking the export"
    DONE = "done"
    FAILED = "failed"


# The share of an application's time that is over when a step begins.
BEGINS = {
    Step.WAITING: 0.0,
    Step.READING: 0.0,
    Step.TRAINING: 0.1,
    Step.ANSWERING: 0.6,
    Step.EVALUATING: 0.65,
    Step.EXPORTING: 0.85,
    Step.DONE: 1.0,
    Step.FAILED: 1.0,
}


@dataclasses.dataclass
class Progress:
    """How far an application has come."""

    application: Application
    step: Step = Step.WAITING
    done: float = 0.0
    """Share of the step."""
    answers: list[str] = dataclasses.field(default_factory=list)
    section: dict[str, Any] | None = None
    """What the page says of it, once it is done."""
    error: str = ""
    """Why it failed, in one line."""

    @property
    def share(self) -> float:
        """Share of the application's time that is over."""
        steps = list(BEGINS)
        following = steps[min(steps.index(self.step) + 1, len(steps) - 1)]
        begin = BEGINS[self.step]
        return begin + self.done * (max(BEGINS[following], begin) - begin)


def record_path(application: str) -> Path:
    """The file that says what the demo has done of an application: its run and, once it is done, its section."""
    return FOLDER / f"{application}.json"


def finished_section(application: Application) -> dict[str, Any] | None:
    """What an interrupted demo has finished of an application, if what it made is still there."""
    with contextlib.suppress(InputError):
        record = read_json(record_path(application.name))
        section = record.get("section")
        if section and Path(section["export"]).is_dir():
            run = Run(Path(section["run"])).read_record()
            settings = json.loads(json.dumps(dataclasses.asdict(application.presets["quick"])))
            return section if run["config"] == settings else None
    return None


def demo(applications: Sequence[Application], to: Path, processes: int = 0) -> None:
    """Runs the `quick` preset of each application on `sample`, end to end, and writes `runs/demo/index.html`.

    Args:
        applications: What to run.
        to: Folder of the exports.
        processes: Applications side by side; 0 for one a core, at most two.

    Raises:
        CommandFailedError: An application failed; the others went on.
        KeyboardInterrupt: It was interrupted; the next demo goes on where it stopped.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    if all(finished_section(application) for application in applications):
        for application in applications:
            record_path(application.name).unlink(missing_ok=True)
    states = {application.name: Progress(application) for application in applications}
    processes = min(processes or min(os.cpu_count() or 1, PROCESSES), len(applications))
    _Demo(states, to, processes).run()
    failed = {name: state for name, state in states.items() if state.step is Step.FAILED}
    if failed:
        told = "; ".join(f"{name}: {state.error} (see {FOLDER / f'{name}.log'})" for name, state in failed.items())
        raise CommandFailedError(f"{told}; mend that and run the demo again: it goes on with what is missing")


class _Demo:
    """The processes, what they say, and what is shown of it.

    Args:
        states: By name, how far each application has come.
        to: Folder of the exports.
        processes: How many work side by side.
    """

    def __init__(self, states: Mapping[str, Progress], to: Path, processes: int):
        self.states, self.to, self.processes = states, to, processes
        self.begin = time.monotonic()
        self.events: queue.Queue[tuple[subprocess.Popen[str], dict[str, Any] | None]] = queue.Queue()
        self.working: dict[subprocess.Popen[str], str] = {}
        self.console = rich.console.Console()
        self.page = FOLDER / "index.html"
        # What answers soonest comes first, then what takes longest.
        order = sorted(states, key=lambda name: states[name].application.demo_seconds)
        self.left = [*order[1:], order[0]]

    def run(self) -> None:
        """Runs everything; applications that fail are left behind."""
        total = sum(state.application.demo_seconds for state in self.states.values())
        logger.info(
            f"{len(self.states)} applications, {self.processes} at a time: about {self._spoken(total)}; "
            f"the page fills up as they finish: {self.page}"
        )
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[step]}"),
        )
        terminal = rich.console.Console(stderr=True)
        with rich.progress.Progress(*columns, console=terminal, disable=not terminal.is_terminal) as bars:
            self.overall = bars.add_task("all", total=total, step="")
            self.bars, self.tasks = bars, {name: bars.add_task(name, total=1.0, step="") for name in self.states}
            self._write_page()
            try:
                for _ in range(self.processes):
                    self._start()
                while self.working:
                    self._handle(*self.events.get())
            except KeyboardInterrupt:
                logger.info("interrupted: what is training writes its checkpoint; the next demo goes on from there")
                raise
            finally:
                self._stop()
                self._write_page()
        logger.info(f"one page with tables and pictures: {self.page} ({time.monotonic() - self.begin:.0f} s in all)")

    def _start(self) -> None:
        """Starts a process with the next application: what one leaves in memory is gone before the next."""
        threads = str(max(1, (os.cpu_count() or 1) // self.processes))
        limits = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        with (FOLDER / "worker.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "recur.cli.demo_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                start_new_session=True,
                env=limits | os.environ,
            )
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        name = self.left.pop()
        self.working[process] = name
        application = self.states[name].application
        request = {
            "module": f"{application.package}.application",
            "to": str(self.to),
            "log": str(FOLDER / f"{name}.log"),
        }
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:  # that it has ended is told
            process.stdin.write(json.dumps(request) + "\n")

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        """Passes on what a process says, and that it has ended."""
        for line in process.stdout or ():
            self.events.put((process, json.loads(line)))
        self.events.put((process, None))

    def _handle(self, process: "subprocess.Popen[str]", event: dict[str, Any] | None) -> None:
        name = self.working[process]
        state = self.states[name]
        if event is None:
            self.working.pop(process)
            status = process.wait()
            if state.step not in (Step.DONE, Step.FAILED):
                self._fail(state, _ending(status))
            if self.left:
                self._start()
        elif event["event"] == "step":
            step = Step(event["step"])
            if step is not state.step:
                self._say(f"{name}: {step.value}")
            state.step, state.done = step, event["done"]
        elif event["event"] == "answers":
            state.answers = event["answers"]
            for answer in state.answers:
                self.bars.console.print(f"{name} answers:", style="bold", highlight=False)
                self.console.print(answer, markup=False, highlight=False)
        elif event["event"] == "done":
            state.section, state.step = event["section"], Step.DONE
            self._say(f"{name}: done in {state.section['seconds']:.0f} s. {verdict(state.application, state.section)}")
        else:
            self._fail(state, event["message"])
        self._show()
        if event is None or event["event"] != "step" or not event["done"]:
            self._write_page()

    def _fail(self, state: Progress, message: str) -> None:
        state.error, state.step = message, Step.FAILED
        self._say(f"{state.application.name}: failed: {message}")

    def _say(self, text: str) -> None:
        self.bars.console.print(f"{time.monotonic() - self.begin:4.0f} s  {text}", markup=False, highlight=False)

    def _show(self) -> None:
        weights = {name: state.application.demo_seconds for name, state in self.states.items()}
        done = sum(weights[name] * state.share for name, state in self.states.items())
        for name, state in self.states.items():
            self.bars.update(self.tasks[name], completed=state.share, step=state.step.value)
        seconds = time.monotonic() - self.begin
        left = (
            seconds / done * (sum(weights.values()) - done) if seconds > 20 and done else sum(weights.values()) - done
        )
        self.bars.update(self.overall, completed=done, step=f"about {self._spoken(left, done > 0)} left")

    def _spoken(self, seconds: float, measured: bool = False) -> str:
        seconds = seconds if measured else seconds / self.processes
        return f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{10 * max(1, round(seconds / 10))} seconds"

    def _stop(self) -> None:
        """Interrupts what still works, and waits for it."""
        for process in self.working:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        for process in self.working:
            process.wait()

    def _write_page(self) -> None:
        template = importlib.resources.files(__package__).joinpath("demo.html").read_text(encoding="utf-8")
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        running = any(state.step not in (Step.DONE, Step.FAILED) for state in self.states.values())
        html = environment.from_string(template).render(
            states=list(self.states.values()), running=running and bool(self.working or self.left), verdict=verdict
        )
        with atomically(self.page) as temporary:
            temporary.write_text(html, encoding="utf-8")


def verdict(application: Application, section: Mapping[str, Any]) -> str:
    """One sentence: the model beside its strongest baseline, and why it falls short where it does."""
    headline, metrics = application.headline, section["metrics"]
    strongest = headline.strongest(metrics["baselines"])
    if strongest is None:
        return ""
    ours, theirs = metrics["metrics"][headline.metric], metrics["baselines"][strongest][headline.metric]
    lead = headline.lead(ours, theirs)
    sentence = f"{headline.metric} {ours:.4f}, {strongest} {theirs:.4f}: "
    if lead > 0:
        return f"{sentence}better than the strongest baseline by {lead:.4f}."
    return f"{sentence}short of the strongest baseline by {-lead:.4f}. {headline.shortfall}"


def _ending(status: int) -> str:
    """Why a process is no more."""
    if status == -signal.SIGKILL:
        return "its process was killed, probably for want of memory; close other programs, or say --processes 1"
    return f"its process ended with status {status}"

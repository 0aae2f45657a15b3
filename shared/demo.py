"""Every application from its sample to an answer of its export, and one page that shows what came of it."""

import importlib.resources
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import keras
import rich.console

from shared import commands, fitting, loading
from shared.answers import answers, ask_module, ask_saved_model
from shared.application import Application
from shared.runs import RUNS, atomically
from shared.serving.native import NativeSavedModel


def demo(applications: Sequence[Application[Any, Any, Any]], to: Path) -> None:
    """Runs the `quick` preset of each application on `sample`, end to end, and writes `runs/demo/index.html`.

    Raises:
        RuntimeError: An export does not answer as `predict` does.
    """
    sections = [_walk(application, to) for application in applications]
    page = RUNS / "demo" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    template = importlib.resources.files("shared").joinpath("demo.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    with atomically(page) as temporary:
        temporary.write_text(environment.from_string(template).render(sections=sections), encoding="utf-8")
    print(f"\nOne page with tables and pictures: {page}")  # noqa: T201


def _same(served: Any, predicted: Any) -> bool:
    """Whether two answers are equal, numbers up to rounding."""
    if isinstance(served, float):
        return math.isclose(served, predicted, rel_tol=1e-5, abs_tol=1e-6)
    if isinstance(served, dict):
        return served.keys() == predicted.keys() and all(_same(served[name], predicted[name]) for name in served)
    if isinstance(served, list):
        return len(served) == len(predicted) and all(map(_same, served, predicted))
    return served == predicted


def _walk(application: Application[Any, Any, Any], to: Path) -> dict[str, Any]:
    console = rich.console.Console()
    console.rule(f"{application.name}: {application.summary}")
    begin = time.monotonic()
    keras.utils.clear_session()
    run = fitting.train(application, "sample", application.presets["quick"], "quick")
    metrics = commands.evaluate(application, run.label)
    trained = loading.load(application, run)
    options = application.options()
    predicted = list(
        answers(application, ask_module(application.serving_module(trained)), application.demo_inputs, options)
    )
    for answer in predicted:
        console.print(application.show(answer), markup=False, highlight=False)
        console.rule(characters="·")
    path = commands.export(application, run.label, to)
    with NativeSavedModel(path) as saved_model:
        served = list(answers(application, ask_saved_model(saved_model), application.demo_inputs, options))
    if not all(map(_same, served, predicted)):
        raise RuntimeError(f"{path} does not answer as predict does: {served} is not {predicted}")
    seconds = time.monotonic() - begin
    console.print(f"{path}, asked through TensorFlow's C++ loader, gives the same answers. {seconds:.0f} s in all.")
    return {
        "application": application,
        "run": run.path.name,
        "metrics": metrics,
        "answers": [application.show(answer) for answer in predicted],
        "plots": [
            f"../{application.name}/{run.path.name}/plots/{plot.name}" for plot in sorted(run.plots.glob("*.png"))
        ],
        "export": path.as_posix(),
        "seconds": seconds,
    }

"""How the source is divided: no circle of imports, no module too long to read, few that are a sentence or one's own."""

import functools
import graphlib
from pathlib import Path

import grimp
import pytest

from tests.checkout import ROOT

PACKAGES = ("apps", "recur", "tfserving_dev")
ROLES = {
    *("application", "config", "requests", "task", "readers", "data", "assets", "batches", "model", "stages"),
    *("baselines", "metrics", "evaluate", "plots", "serving", "__main__"),
}
MOST_LINES, FEWEST_LINES = 450, 60
MOST_WITH_ONE_IMPORTER, MOST_SHORT = 25, 35


@functools.cache
def imports() -> dict[str, set[str]]:
    """What every module imports of the others, inside functions and for type checking too."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def path_of(module: str) -> Path:
    """The file of a module."""
    path = ROOT / ("" if module.split(".")[0] == "apps" else "shared") / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def lines_of(module: str) -> int:
    return len(path_of(module).read_text(encoding="utf-8").splitlines())


def plain_modules() -> list[str]:
    """Modules that have no role by their name: neither a command, nor a package, nor of an application's roles."""
    return [
        module
        for module in imports()
        if path_of(module).name not in ("__init__.py", "__main__.py")
        and not module.startswith("recur.cli.")
        and not (module.startswith("apps.") and {*module.split(".")[2:3]} <= ROLES)
    ]


def test_no_import_leads_back():
    graphlib.TopologicalSorter(imports()).prepare()


@pytest.mark.parametrize("module", sorted(imports()))
def test_a_module_can_be_read_at_once(module):
    assert lines_of(module) <= MOST_LINES


def test_few_modules_are_for_one_other_alone():
    importers = {module: sum(module in others for others in imports().values()) for module in plain_modules()}
    alone = [module for module, count in importers.items() if count == 1]
    assert len(alone) <= MOST_WITH_ONE_IMPORTER, sorted(alone)


def test_few_modules_are_a_sentence():
    short = [module for module in plain_modules() if lines_of(module) < FEWEST_LINES]
    assert len(short) <= MOST_SHORT, sorted(short)

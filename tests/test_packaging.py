"""What is installed: the library and the development server, with what each needs, and nothing else."""

import email
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

from tests.checkout import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "shared")


def requirements(name: str) -> dict[str, str]:
    """The lines of a requirements file by the name of the package."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return by_name(filter(None, lines))


def by_name(lines) -> dict[str, str]:
    return {re.match(r"[\w-]+", line)[0].lower(): line.replace(" ", "") for line in lines}


def test_every_requirements_file_is_an_extra():
    read = PYPROJECT["tool"]["setuptools"]["dynamic"]["optional-dependencies"]
    files = {path.name for path in ROOT.glob("requirements*.txt")}
    assert {file for extra in read.values() for file in extra["file"]} == files
    for name, extra in read.items():
        assert extra["file"] == ["requirements.txt" if name == "applications" else f"requirements-{name}.txt"]


@pytest.mark.parametrize("needed", [PYPROJECT["project"]["dependencies"]])
def test_what_the_library_needs_has_the_bounds_that_the_applications_have(needed):
    known = requirements("requirements.txt")
    assert {name: known.get(name) for name in by_name(needed)} == by_name(needed)


@pytest.mark.slow
def test_a_wheel_holds_two_packages_and_passes_the_check_of_an_index(tmp_path):
    for name in SOURCES:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    for waste in (*tmp_path.rglob("__pycache__"), *tmp_path.rglob("*.egg-info")):
        shutil.rmtree(waste)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist")]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    check = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(wheel)], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith("METADATA")]
        described = email.message_from_bytes(archive.read(metadata))
    inside = {str(path.relative_to(ROOT / "shared")) for path in (ROOT / "shared").rglob("*.py")}
    assert {name.split("/")[0] for name in names} == {
        "recur",
        "tfserving_dev",
        wheel.name.split("-py3")[0] + ".dist-info",
    }
    assert {name for name in names if name.endswith(".py")} == inside
    assert {"recur/py.typed", "recur/cli/demo.html"} <= {*names}
    assert described["Name"] == "recur-keras"
    assert {"applications", "samples", "dev", "bench", "yahoo", "server"} <= {*described.get_all("Provides-Extra")}

"""The package stands alone: what it imports, what it needs, its public names and its own command line."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys

import pytest

import tfserving_dev
from tests.checkout import ROOT
from tfserving_dev.__main__ import main

IMPORT = re.compile(r"^\s*(?:from|import) (\w+)", re.MULTILINE)


def imported(package: str) -> set[str]:
    texts = (path.read_text() for path in (ROOT / "shared" / package).rglob("*.py"))
    return {name for text in texts for name in IMPORT.findall(text)}


def requirements(name: str) -> set[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {line for line in lines if line}


def test_neither_package_imports_the_other():
    assert not imported("tfserving_dev") & {"recur", "apps", "shared", "tests"}
    assert "tfserving_dev" not in imported("recur")


def test_its_requirements_are_among_all():
    assert requirements("requirements-server.txt") <= requirements("requirements.txt")


def test_public_names():
    assert [getattr(tfserving_dev, name).__name__ for name in tfserving_dev.__all__] == tfserving_dev.__all__
    with pytest.raises(AttributeError, match="Absent"):
        tfserving_dev.Absent  # noqa: B018


@pytest.mark.slow  # the server is there before it finds that it has nothing to serve
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--models", "absent"), "error: there is no folder absent; export a model into it, or name another: --models"),
        (("--models", "empty"), "error: there are no models in empty; export one"),
        (("--models", "empty", "--rest-port", "65536"), "error: --rest-port: Input should be less than 65536"),
    ],
)
def test_bad_usage(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main([*words, "--server", "development"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == message


@pytest.mark.slow
def test_it_serves_alone(tmp_path, put_toy):
    put_toy(tmp_path, 1)
    command = [sys.executable, "-m", "tfserving_dev", "--models", str(tmp_path), "--server", "development"]
    command += ["--rest-port", "0", "--grpc-port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "shared")}
    pipes = {"stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as process:
        try:
            line = next(line for line in process.stderr if line.startswith("REST at"))
            connection = http.client.HTTPConnection(re.search(r"http://([^,]+)", line)[1], timeout=30)
            connection.request("POST", "/v1/models/toy:predict", b'{"instances": [1.0]}')
            assert json.loads(connection.getresponse().read()) == {"predictions": [1.5]}
            connection.close()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            assert process.returncode == 0
        finally:
            process.kill()

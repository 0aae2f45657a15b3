"""`python -m apps diagnose`: what the gradients of a run say."""

import json

import pytest

from recur.gradients.records import COLUMNS, Record, RecordFile
from recur.training.runs import create_run

HEALTHY = [Record(step, "dense", "kernel", "update_ratio", None, 1e-3) for step in range(1, 202, 20)]
SLOW = [record._replace(value=1e-6) for record in HEALTHY]


@pytest.fixture
def run(all_applications):
    run = create_run("text_generation", all_applications.folder / "runs" / "text_generation" / "first")
    data = {"source": "sample", "fingerprint": "0"}
    record = {"application": "text_generation", "preset": "quick", "config": {}, "data": data, "versions": {}}
    run.write_record(record | {"started": "2024-01-01T00:00:00", "finished": "2024-01-02T00:00:00"})
    return run


@pytest.mark.parametrize("name", ["text_generation/latest", "text_generation/first", "runs/text_generation/first"])
def test_a_run_is_diagnosed(all_applications, run, name):
    RecordFile(run.path / "gradients.csv").append(SLOW)
    answer = all_applications("diagnose", name)
    assert (answer.status, answer.errors) == (0, "")
    assert answer.output.startswith("step 101: learning rate too low: ")
    assert answer.output.count("\n") == 1
    found = json.loads(all_applications("diagnose", name, "--json").output)
    assert found["run"] == "runs/text_generation/first"
    assert found["findings"][0]["name"] == "learning rate too low"
    assert found["findings"][0]["step"] == 101


def test_a_healthy_run_has_nothing(all_applications, run):
    RecordFile(run.path / "gradients.csv").append(HEALTHY)
    answer = all_applications("diagnose", "text_generation/latest")
    expected = "nothing is wrong with the gradients of runs/text_generation/first: 11 looks in 201 steps\n"
    assert (answer.status, answer.output, answer.errors) == (0, expected, "")
    assert json.loads(all_applications("diagnose", "text_generation/latest", "--json").output)["findings"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["diagnose"], "NAME/RUN"),
        (["diagnose", "text_generation"], "say which run of text_generation: text_generation/latest"),
        (["diagnose", "text_generation/latset"], "there is no run"),
        (["diagnose", "text_genration/latest"], "did you mean text_generation/latest?"),
        (["diagnose", "nothing"], "there is no run 'nothing'; say NAME/RUN: "),
        (["diagnose", ""], "there is no run ''"),
        (["diagnose", "text_generation/latest"], "has no gradients.csv; train a run with GradientMonitor"),
    ],
)
def test_bad_usage_is_refused(all_applications, run, words, message):
    assert message in all_applications.refused(*words)


@pytest.mark.parametrize("content", ["", "a,b\n", ",".join(COLUMNS) + "\n1,2\n", ",".join(COLUMNS) + "\na,,,,,\n"])
def test_a_damaged_file_is_refused(all_applications, run, content):
    (run.path / "gradients.csv").write_text(content)
    assert "gradients.csv is damaged" in all_applications.refused("diagnose", "text_generation/latest")


def test_an_empty_file_is_refused(all_applications, run):
    RecordFile(run.path / "gradients.csv")
    assert "still empty" in all_applications.refused("diagnose", "text_generation/latest")

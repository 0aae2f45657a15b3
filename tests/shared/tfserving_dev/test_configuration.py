from pathlib import Path

import pytest

from tfserving_dev.catalogue import State
from tfserving_dev.configuration import BatchingParameters, read_batching_parameters, read_models
from tfserving_dev.errors import InputError
from tfserving_dev.watcher import Action, Policy, aspired_versions, next_action, versions_on_disk


def test_batching_parameters_of_the_documentation(tmp_path):
    file = tmp_path / "batching_parameters.txt"
    file.write_text(
        "max_batch_size { value: 128 }\nbatch_timeout_micros { value: 0 }\n"
        "max_enqueued_batches { value: 1000000 }\nnum_batch_threads { value: 8 }\n"
        'allowed_batch_sizes: 32\nallowed_batch_sizes: 128\nthread_pool_name { value: "p" }\n'
        "pad_variable_length_inputs: true enable_large_batch_splitting { value: true }"
    )
    assert read_batching_parameters(file) == BatchingParameters(
        max_batch_size=128,
        max_enqueued_batches=1_000_000,
        num_batch_threads=8,
        allowed_batch_sizes=(32, 128),
        enable_large_batch_splitting=True,
    )
    file.write_text("")
    assert read_batching_parameters(file) == BatchingParameters()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 4", "cannot read the batching parameters"),
        ("max_batch { value: 4 }", "cannot read the batching parameters"),
        ("num_batch_threads { value: 0 }", "num_batch_threads should be at least 1, not 0"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "the last of allowed_batch_sizes should be .*8.*, not 4",
        ),
        (
            "max_batch_size { value: 4 } max_execution_batch_size { value: 8 } "
            "enable_large_batch_splitting { value: true }",
            "max_execution_batch_size should be at most max_batch_size .4.",
        ),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros should be at least 0, not -1"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [8, 4]", "allowed_batch_sizes should increase"),
    ],
)
def test_wrong_batching_parameters(tmp_path, text, message):
    file = tmp_path / "parameters"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_batching_parameters(file)
    with pytest.raises(InputError, match="cannot read"):
        read_batching_parameters(tmp_path / "absent")


def test_every_folder_with_versions_is_a_model(tmp_path):
    for name in ("b/1", "b/2", "a/7", "empty", "other/notes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "README.md").write_text("")
    assert [model.name for model in read_models(tmp_path)] == ["a", "b"]
    assert read_models(tmp_path)[0].base_path == str(tmp_path / "a")


def test_paths_of_a_configuration(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "models.config").write_text(
        'model_config_list { config { name: "a" base_path: "/models/here" model_platform: "tensorflow" } '
        'config { name: "b" base_path: "later" model_platform: "tensorflow" } '
        'config { name: "c" base_path: "/elsewhere/c" model_type: TENSORFLOW } }'
    )
    assert [model.base_path for model in read_models(tmp_path)] == [
        str(tmp_path / "here"),
        str(tmp_path / "later"),
        "/elsewhere/c",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { config { nam", "cannot read the model configuration"),
        ('model_config_list { config { name: "a" } }', "needs a name and a base_path"),
        (
            'model_config_list { config { name: "a" base_path: "a" model_platform: "onnx" } }',
            "unsupported platform onnx",
        ),
        ("custom_model_config {}", "Only ModelConfigList"),
        (
            'model_config_list { config { name: "a" base_path: "a" model_platform: "tensorflow" } '
            'config { name: "a" base_path: "b" model_platform: "tensorflow" } }',
            "multiple times",
        ),
        ('model_config_list { config { name: "a" base_path: "a" } }', "Illegal setting neither"),
        (
            'model_config_list { config { name: "a" base_path: "a" model_platform: "tensorflow" '
            'version_labels { key: "x y" value: 1 } } }',
            "letters, digits and underscores",
        ),
    ],
)
def test_wrong_configurations(tmp_path, text, message):
    (tmp_path / "models.config").write_text(text)
    with pytest.raises(InputError, match=message):
        read_models(tmp_path)


def test_versions_on_disk(tmp_path):
    for name in ("1", "12", "007", "x", ".unfinished-1", "٣"):
        (tmp_path / name).mkdir()
    assert versions_on_disk(tmp_path) == {1: tmp_path / "1", 12: tmp_path / "12", 7: tmp_path / "007"}
    assert versions_on_disk(tmp_path / "absent") is None
    assert versions_on_disk(Path("/dev/null")) is None


def test_policies():
    assert aspired_versions([1, 2, 3], Policy()) == {3}
    assert aspired_versions([1, 2, 3], Policy(latest={"num_versions": 2})) == {2, 3}
    assert aspired_versions([1, 2, 3], Policy(all={})) == {1, 2, 3}
    assert aspired_versions([1, 2, 3], Policy(specific={"versions": [1, 9]})) == {1}
    assert aspired_versions([], Policy()) == set()


@pytest.mark.parametrize(
    ("aspired", "states", "failed", "action"),
    [
        ({1}, {}, (), Action(True, 1)),
        ({2}, {1: State.AVAILABLE}, (), Action(True, 2)),
        ({2}, {1: State.AVAILABLE, 2: State.AVAILABLE}, (), Action(False, 1)),
        ({2}, {1: State.AVAILABLE, 2: State.END}, {2}, None),
        ({3}, {1: State.AVAILABLE, 2: State.AVAILABLE, 3: State.END}, {3}, Action(False, 1)),
        (set(), {1: State.AVAILABLE}, (), Action(False, 1)),
        ({1, 2}, {}, (), Action(True, 2)),
        ({1, 2}, {2: State.AVAILABLE}, (), Action(True, 1)),
        ({1}, {1: State.AVAILABLE}, (), None),
        ({1}, {1: State.END}, (), Action(True, 1)),
        ({1}, {1: State.UNLOADING}, (), None),
        (set(), {1: State.END}, (), None),
    ],
)
def test_next_actions(aspired, states, failed, action):
    assert next_action(aspired, states, failed) == action

"""The files for the server are what its protocol buffers say; checksums are those of `sha256sum`, and name damage."""

import shutil
import subprocess

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

import apps
from recur.errors import InputError
from recur.serving.repository import (
    batching_parameters,
    checksum_faults,
    models_config,
    version_batching,
    write_checksums,
    write_server_config,
)
from recur.training.application import Batching

NUMBERS = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")


def parsed_batching(text: str):
    """A `BatchingParameters` as session_bundle_config.proto has it; the Python package of the server lacks it."""
    field = descriptor_pb2.FieldDescriptorProto
    message = descriptor_pb2.DescriptorProto(name="BatchingParameters")
    wrapped = dict.fromkeys(NUMBERS, "Int64Value") | {"max_execution_batch_size": "Int64Value"}
    wrapped |= {"thread_pool_name": "StringValue", "enable_large_batch_splitting": "BoolValue"}
    for number, (name, kind) in enumerate(wrapped.items(), 10):  # text does not know numbers
        message.field.add(name=name, number=number, type=field.TYPE_MESSAGE, type_name=f".google.protobuf.{kind}")
    message.field.add(name="allowed_batch_sizes", number=6, type=field.TYPE_INT64, label=field.LABEL_REPEATED)
    message.field.add(name="pad_variable_length_inputs", number=7, type=field.TYPE_BOOL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(
        descriptor_pb2.FileDescriptorProto(
            name="batching.proto", message_type=[message], dependency=["google/protobuf/wrappers.proto"]
        )
    )
    return text_format.Parse(text, message_factory.GetMessageClass(pool.FindMessageTypeByName("BatchingParameters"))())


def parsed_models(text: str):
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config


@pytest.mark.parametrize("application", apps.applications().values(), ids=lambda each: each.name)
def test_batching_of_a_version(application):
    found = parsed_batching(version_batching(application.batching))
    assert found.enable_large_batch_splitting.value
    assert 1 <= found.max_execution_batch_size.value <= found.max_batch_size.value
    # A request of the longest kind fits into an empty queue.
    assert found.max_enqueued_batches.value * found.max_execution_batch_size.value >= found.max_batch_size.value
    assert found.batch_timeout_micros.value >= 0
    assert not found.allowed_batch_sizes
    assert not found.HasField("num_batch_threads")  # which the server takes from its own file


def test_batching_of_a_server_is_the_least_of_its_models():
    found = parsed_batching(batching_parameters([Batching(32, 500), Batching(8, 9000)], threads=2))
    assert found.max_execution_batch_size.value == 8
    assert found.batch_timeout_micros.value == 500
    assert found.num_batch_threads.value == 2
    assert found.thread_pool_name.value
    assert not parsed_batching(batching_parameters([])).HasField("num_batch_threads")


def test_models_config_keeps_what_was_said_of_versions():
    before = """model_config_list {
      config { name: "b" base_path: "/old/b" model_platform: "tensorflow"
               model_version_policy { specific { versions: 1 versions: 2 } }
               version_labels { key: "stable" value: 1 } }
      config { name: "gone" base_path: "/old/gone" model_platform: "tensorflow" } }"""
    first, second = parsed_models(models_config(["a", "b"], "/srv/models/", before))
    assert (first.name, first.base_path, first.model_platform) == ("a", "/srv/models/a", "tensorflow")
    assert not first.HasField("model_version_policy")
    assert (second.name, second.base_path) == ("b", "/srv/models/b")
    assert list(second.model_version_policy.specific.versions) == [1, 2]
    assert dict(second.version_labels) == {"stable": 1}
    with pytest.raises(InputError, match=r"models.config is damaged \(line 1:1 "):
        models_config(["a"], before="this is no config")


def test_files_are_replaced_whole(tmp_path):
    for name in ("a/1", "a/x", "b/2", "c", "d/3", ".unfinished/1"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a/1", "b/2", ".unfinished/1"):
        (tmp_path / name / "saved_model.pb").touch()
    for _ in range(2):
        paths = write_server_config(tmp_path, [Batching()])
        assert [path.name for path in paths] == ["models.config", "batching_parameters.txt"]
        assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {path.name for path in paths}
    assert [each.name for each in parsed_models(paths[0].read_text())] == ["a", "b"]
    assert parsed_batching(paths[1].read_text()).max_execution_batch_size.value == Batching().rows


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "a file").write_bytes(b"one")
    (tmp_path / "below" / "b").write_bytes(b"")
    write_checksums(tmp_path)
    return tmp_path


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="no sha256sum")
def test_sha256sum_verifies_it(folder):
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "a file: OK\nbelow/b: OK\n")


def test_what_has_changed_is_named(folder):
    assert checksum_faults(folder) == []
    (folder / "a file").write_bytes(b"two")
    (folder / "below" / "b").unlink()
    (folder / "new").touch()
    assert checksum_faults(folder) == ["below/b is missing", "new is not in SHA256SUMS", "a file has changed"]
    write_checksums(folder)
    assert checksum_faults(folder) == []


def test_none_and_a_damaged_one(tmp_path):
    assert checksum_faults(tmp_path) is None
    (tmp_path / "SHA256SUMS").write_text("no digest\n")
    assert checksum_faults(tmp_path) == ["SHA256SUMS is damaged"]

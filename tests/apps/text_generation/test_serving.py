"""Generation in graph: reproducible, row by row, and the same from predict, stream, export and the C++ loader."""

import resource
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from apps.text_generation.application import APPLICATION
from apps.text_generation.config import SamplingOptions
from apps.text_generation.requests import parse
from apps.text_generation.serving import TextGenerator
from recur.cli import commands
from recur.serving.answers import answers, ask_module
from recur.serving.saved_model import must_compile_functions, operations
from recur.training import loading
from recur.training.runs import Run
from tests.shared.recur.serving.asking import assert_asked_as_predicted
from tfserving_dev.session import NativeSavedModel

pytestmark = pytest.mark.slow

PROMPTS = ["the old", "", "a", "Zürich 😀 \0 ☃", "x" * 3000]


@pytest.fixture(scope="module")
def module(tiny_run: Path) -> TextGenerator:
    return APPLICATION.task.serving_module(loading.load(APPLICATION, Run(tiny_run)))


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return commands.export(APPLICATION, str(tiny_run), tmp_path_factory.mktemp("saved_models"))


def generate(module: TextGenerator, prompts: list[str], **options) -> list[str]:
    options = SamplingOptions(**{"length": 30} | options)
    return [text.decode() for text in module.sample(**parse(prompts, options, {}).arrays)["text"].numpy()]


def test_a_text_is_its_prompt_and_as_many_known_characters_as_asked_for(module):
    known = set(module._characters[1:])
    for length in (0, 1, 30):
        for prompt, text in zip(PROMPTS, generate(module, PROMPTS, length=length), strict=True):
            assert text.startswith(prompt)
            assert len(text) == len(prompt) + length
            assert set(text[len(prompt) :]) <= known


def test_rows_have_their_own_settings_and_do_not_meet(module):
    request = {
        "prompt": np.array([p.encode() for p in PROMPTS], dtype=object),
        "length": np.array([5, 17, 0, 30, 8], np.int32),
        "temperature": np.array([0.0, 0.8, 1.0, 2.0, 0.5], np.float32),
        "top_k": np.array([0, 3, 0, 5, 1], np.int32),
        "top_p": np.array([1.0, 0.9, 1.0, 0.5, 1.0], np.float32),
        "seed": np.array([0, 1, 2, 3, -4], np.int64),
    }
    together = module.sample(**request)["text"].numpy()
    for i in range(len(PROMPTS)):
        alone = module.sample(**{name: value[i : i + 1] for name, value in request.items()})["text"].numpy()
        assert together[i] == alone[0]


def test_the_seed_decides(module):
    assert generate(module, ["the"], seed=5) == generate(module, ["the"], seed=5) != generate(module, ["the"], seed=6)


def test_the_default_signature_is_the_documented_sample(module):
    asked = generate(module, ["the"], length=400, temperature=0.8, seed=0)
    assert [t.decode() for t in module.generate(tf.constant(["the"]))["text"].numpy()] == asked


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_stream_is_the_same_text_in_pieces(module, prompt):
    options = {"length": 41, "temperature": 1.2, "top_k": 0, "top_p": 0.9, "seed": 3}
    pieces = list(module.stream(prompt, **options))
    assert len(pieces) > 2
    assert "".join(pieces) == generate(module, [prompt], **options)[0]


def test_a_prompt_of_a_megabyte_is_read_by_its_end_and_kept_whole(module):
    prompt = "the old man " * 90_000
    text = generate(module, [prompt])[0]
    assert text.startswith(prompt)
    assert text[len(prompt) :] == generate(module, [prompt[-1000:]])[0][1000:]


def test_bytes_that_are_not_utf8_become_replacement_characters(module):
    request = parse(["x"], SamplingOptions(length=2), {}).arrays | {"prompt": np.array([b"ok\xff\xfe"], dtype=object)}
    assert module.sample(**request)["text"].numpy()[0].decode().startswith("ok\ufffd")


def test_out_of_range_settings_answer_and_an_empty_batch_is_empty(module):
    request = parse(["a"], SamplingOptions(length=4), {}).arrays
    wrong = [("length", -3), ("temperature", -1.0), ("top_p", 0.0), ("top_k", -2)]
    for name, value in [*wrong, *(("temperature", value) for value in (1e38, np.inf, np.nan))]:
        text = module.sample(**request | {name: np.array([value], request[name].dtype)})["text"].numpy()[0]
        assert text.startswith(b"a")
        assert len(text) == (1 if name == "length" else 5), "the unknown symbol, which has no text, is never drawn"
    empty = {name: value[:0] for name, value in request.items()}
    assert module.sample(**empty)["text"].shape == (0,)


def test_predict_export_and_cpp_loader_give_the_same_text(module, exported):
    options = SamplingOptions(length=60, seed=9, temperature=1.1, top_k=12, top_p=0.95)
    predicted = list(answers(APPLICATION, ask_module(module), PROMPTS, options))
    loaded = tf.saved_model.load(str(exported))
    with NativeSavedModel(exported) as saved_model:
        for prompt, wanted in zip(PROMPTS, predicted, strict=True):
            request = parse([prompt], options, {}).arrays
            assert saved_model.run(request, "sample")["text"][0].decode() == wanted["text"]
            tensors = {name: tf.constant(value) for name, value in request.items()}
            assert loaded.signatures["sample"](**tensors)["text"].numpy()[0].decode() == wanted["text"]
        served = saved_model.run({"prompt": [p.encode() for p in PROMPTS]}, "serving_default")["text"]
        assert [t.decode() for t in served] == [generate(module, [p], length=400)[0] for p in PROMPTS]


def test_a_server_is_asked_as_predict_answers(module, exported, capsys):
    words = ["--length", "20", "--seed", "3", "--top-k", "5"]
    assert_asked_as_predicted(APPLICATION, module, exported, PROMPTS, capsys, *words, length=20, seed=3, top_k=5)


def test_an_export_is_servable(exported):
    with NativeSavedModel(exported) as saved_model:
        assert {"serving_default", "sample"} <= set(saved_model.signatures)
    assert not must_compile_functions(exported)
    assert not {operation for operation in operations(exported) if "Py" in operation or "XlaLaunch" in operation}
    records = list(tf.data.TFRecordDataset(str(exported / "assets.extra" / "tf_serving_warmup_requests")))
    logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in records]
    assert {log.predict_log.request.model_spec.signature_name for log in logs} == {"serving_default", "sample"}
    with NativeSavedModel(exported) as saved_model:
        for log in logs:
            request = log.predict_log.request
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            assert saved_model.run(inputs, request.model_spec.signature_name)["text"]
    assert "# Text generation" in (exported / "README.md").read_text()


def test_versions_count_up_and_a_full_disk_leaves_no_half_version(tiny_run, tmp_path):
    first, second = (commands.export(APPLICATION, str(tiny_run), tmp_path) for _ in range(2))
    assert (first.name, second.name) == ("1", "2")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"[Tt]oo large"):
            commands.export(APPLICATION, str(tiny_run), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in (tmp_path / "text_generation").iterdir()) == ["1", "2"]

"""An image gets the same caption from predict, the export and the C++ loader, whatever is beside it."""

import json

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from apps.image_captioning.application import APPLICATION
from apps.image_captioning.encoder_weights import PACKAGE
from apps.image_captioning.prediction import caption_all, looked_at
from apps.image_captioning.serving import TOGETHER
from shared import commands, loading
from shared.application import Trained
from shared.runs import Run
from shared.serving.native import NativeSavedModel, must_compile_functions, operations
from tests.apps.image_captioning.conftest import encoded

CAPTIONS = {f"a {colour} square on the {side}" for colour in ("red", "green", "blue") for side in ("left", "right")}


@pytest.fixture(scope="module")
def images(squares, photograph, translucent):
    """Test images, and others in every way."""
    others = [
        encoded(photograph, "JPEG"),
        encoded(photograph.convert("L"), "PNG"),
        encoded(photograph.convert("CMYK"), "JPEG"),
        encoded(translucent, "PNG"),
        encoded(PIL.Image.new("RGB", (1, 1)), "PNG"),
    ]
    return [(squares / f"{index:02d}.png").read_bytes() for index in range(30, 36)] + others


@pytest.fixture(scope="module")
def exported(tiny_captioning_run, tmp_path_factory):
    return commands.export(APPLICATION, str(tiny_captioning_run), tmp_path_factory.mktemp("saved_models"))


def test_an_answer_is_its_rows_alone(tiny_captioner, images):
    together = tiny_captioner.caption(tf.constant(images))
    for row, image in enumerate(images):
        alone = tiny_captioner.caption(tf.constant([image]))
        assert alone["caption"][0] == together["caption"][row]
        np.testing.assert_allclose(alone["score"][0], together["score"][row], atol=1e-4)


def test_more_images_than_are_encoded_together(tiny_captioner, images):
    many = [images[index % 6] for index in range(TOGETHER + 3)]
    found = tiny_captioner.attention(tf.constant(many))
    assert {value.shape[0] for value in found.values()} == {TOGETHER + 3}
    assert found["caption"][TOGETHER] == found["caption"][TOGETHER % 6]
    assert caption_all(tiny_captioner, many)[:6] == [text.decode() for text in found["caption"].numpy()[:6]]


@pytest.mark.parametrize("signature", ["caption", "n_best", "attention"])
def test_no_image_is_answered(tiny_captioner, signature):
    found = getattr(tiny_captioner, signature)(tf.constant([], tf.string))
    assert {value.shape[0] for value in found.values()} == {0}


def test_the_best_of_several_is_the_answer(tiny_captioner, images):
    several, single = tiny_captioner.n_best(tf.constant(images[:2])), tiny_captioner.caption(tf.constant(images[:2]))
    assert several["captions"].shape == several["scores"].shape == (2, 3)
    assert several["captions"][:, 0].numpy().tolist() == single["caption"].numpy().tolist()
    assert len({*several["captions"].numpy()[0].tolist()}) == 3


def test_every_word_has_its_map(tiny_captioner, images):
    drawn = looked_at(tiny_captioner, images[:2])
    assert len(drawn) == 2
    for pixels, words, weights in drawn:
        assert pixels.shape == (224, 224, 3)
        assert weights.shape == (len(words), 7, 7)
        np.testing.assert_allclose(weights.sum(axis=(1, 2)), 1, atol=1e-5)


def test_an_export_answers_in_the_c_loader_as_predict_does(exported, tiny_captioner, images):
    assert not must_compile_functions(exported)
    assert not {name for name in operations(exported) if "PyFunc" in name}
    with NativeSavedModel(exported) as served:
        assert set(served.signatures) == {"serving_default", "n_best", "attention"}
        given = {"image_bytes": np.array(images, dtype=object)}
        found, expected = served.run(given), tiny_captioner.caption(tf.constant(images))
        assert found["caption"].tolist() == expected["caption"].numpy().tolist()
        np.testing.assert_allclose(found["score"], expected["score"], atol=1e-5)
        looked = served.run(given, "attention")
        np.testing.assert_allclose(
            looked["weights"], tiny_captioner.attention(tf.constant(images))["weights"], atol=1e-5
        )
    assert (exported / "assets.extra/tf_serving_warmup_requests").exists()


def test_a_model_without_attention_answers_too(tiny_captioning_run, images):
    import dataclasses

    trained = loading.load(APPLICATION, Run(tiny_captioning_run))
    config = dataclasses.replace(trained.config, attention=False)
    module = APPLICATION.serving_module(Trained(config, trained.assets, APPLICATION.build(config, trained.assets)))
    assert set(module.signatures) == {"serving_default", "n_best"}
    assert len(caption_all(module, images[:2])) == 2
    assert looked_at(module, images[:2]) == []


def test_predict_takes_paths_and_needs_no_package_of_weights(
    image_captioning, tiny_captioning_run, squares, monkeypatch
):
    from shared import sources

    packaged = sources.packaged_files

    def without_weights(package, pattern):
        assert package != PACKAGE
        return packaged(package, pattern)

    monkeypatch.setattr("apps.image_captioning.encoder_weights.packaged_files", without_weights)
    paths = [str(squares / f"{index}.png") for index in (30, 31)]
    answer = image_captioning("predict", tiny_captioning_run, "--json", *paths)
    assert answer.status == 0
    found = json.loads(answer.output)["answers"]
    assert [each["image"] for each in found] == paths
    assert {each["caption"] for each in found} <= CAPTIONS
    answer = image_captioning("predict", tiny_captioning_run, "--n-best", stdin=paths[0].encode() + b"\n")
    assert answer.status == 0
    assert answer.output.startswith(paths[0])
    assert answer.output.count("\n") == 4

"""An image gets the same caption from predict, the export and the C++ loader, whatever is beside it."""

import json

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from apps.image_captioning.application import APPLICATION
from apps.image_captioning.efficientnet_lite import PACKAGE
from apps.image_captioning.evaluate import attention_maps, caption_all
from apps.image_captioning.serving import TOGETHER
from recur.cli import commands
from recur.cli.application import main
from recur.serving.saved_model import must_compile_functions, operations, stock_operations
from recur.training import loading
from recur.training.runs import Run
from recur.training.task import Trained
from tests.apps.image_captioning.conftest import encoded
from tests.shared.recur.serving.asking import assert_asked_as_predicted
from tests.shared.recur.serving.tiny_server import TinyServer
from tfserving_dev.session import NativeSavedModel

pytestmark = pytest.mark.slow

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
    result = tiny_captioner.attention(tf.constant(many))
    assert {value.shape[0] for value in result.values()} == {TOGETHER + 3}
    assert result["caption"][TOGETHER] == result["caption"][TOGETHER % 6]
    assert caption_all(tiny_captioner, many)[:6] == [text.decode() for text in result["caption"].numpy()[:6]]


@pytest.mark.parametrize("signature", ["caption", "n_best", "attention"])
def test_no_image_is_answered(tiny_captioner, signature):
    result = getattr(tiny_captioner, signature)(tf.constant([], tf.string))
    assert {value.shape[0] for value in result.values()} == {0}


def test_the_best_of_several_is_the_answer(tiny_captioner, images):
    several, single = tiny_captioner.n_best(tf.constant(images[:2])), tiny_captioner.caption(tf.constant(images[:2]))
    assert several["captions"].shape == several["scores"].shape == (2, 3)
    assert several["captions"][:, 0].numpy().tolist() == single["caption"].numpy().tolist()
    assert len({*several["captions"].numpy()[0].tolist()}) == 3


def test_every_word_has_its_map(tiny_captioner, images):
    drawn = attention_maps(tiny_captioner, images[:2])
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
        result, expected = served.run(given), tiny_captioner.caption(tf.constant(images))
        assert result["caption"].tolist() == expected["caption"].numpy().tolist()
        np.testing.assert_allclose(result["score"], expected["score"], atol=1e-5)
        looked = served.run(given, "attention")
        np.testing.assert_allclose(
            looked["weights"], tiny_captioner.attention(tf.constant(images))["weights"], atol=1e-5
        )
    assert (exported / "assets.extra/tf_serving_warmup_requests").exists()


@pytest.fixture(scope="module")
def damaged(images, photograph):
    """What is no image, in every way."""
    jpeg, png = encoded(photograph, "JPEG"), images[0]
    header = jpeg[: jpeg.index(b"\xff\xda")]
    huge = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (2**31 - 1).to_bytes(4, "big") * 2 + bytes(20)
    return [b"", b"text", jpeg[: len(jpeg) // 2], header, png[:-30], b"\xff\xd8\xff", b"RIFF0000WEBP", huge]


def test_what_cannot_be_decoded_leaves_the_others_as_they_are(exported, tiny_captioner, images, damaged):
    mixed = [image for pair in zip(damaged, images, strict=False) for image in pair]
    expected = tiny_captioner.caption(tf.constant(images[: len(damaged)]))
    several = tiny_captioner.n_best(tf.constant(images[: len(damaged)]))
    looked = tiny_captioner.attention(tf.constant(images[: len(damaged)]))
    with NativeSavedModel(exported) as served:
        result = served.run({"image_bytes": mixed})
        assert result["caption"][1::2].tolist() == expected["caption"].numpy().tolist()
        np.testing.assert_allclose(result["score"][1::2], expected["score"], atol=1e-5)
        assert result["caption"][0::2].tolist() == [b""] * len(damaged)
        assert np.isnan(result["score"][0::2]).all()

        result = served.run({"image_bytes": mixed}, "n_best")
        assert result["captions"][1::2].tolist() == several["captions"].numpy().tolist()
        assert set(result["captions"][0::2].ravel()) == {b""}
        assert np.isnan(result["scores"][0::2]).all()

        result = served.run({"image_bytes": mixed}, "attention")
        np.testing.assert_allclose(result["weights"][1::2], looked["weights"], atol=1e-5)
        assert not result["weights"][0::2].any()
        assert set(result["words"][0::2].ravel()) == {b""}

        alone = served.run({"image_bytes": damaged[:1]})
        assert alone["caption"].tolist() == [b""]
        assert not stock_operations().foreign(operations(exported))


def test_predict_names_what_cannot_be_decoded(image_captioning, tiny_captioning_run, squares, damaged):
    good, bad = str(squares / "30.png"), image_captioning.folder / "bad.jpg"
    bad.write_bytes(damaged[2])
    assert "bad.jpg is a damaged image" in image_captioning.refused("predict", tiny_captioning_run, good, "bad.jpg")


def test_a_model_without_attention_answers_too(tiny_captioning_run, images):
    import dataclasses

    trained = loading.load(APPLICATION, Run(tiny_captioning_run))
    config = dataclasses.replace(trained.config, attention=False)
    module = APPLICATION.task.serving_module(
        Trained(config, trained.assets, APPLICATION.task.build(config, trained.assets))
    )
    assert set(module.signatures) == {"serving_default", "n_best"}
    assert len(caption_all(module, images[:2])) == 2
    assert attention_maps(module, images[:2]) == []


def test_predict_takes_paths_and_needs_no_package_of_weights(
    image_captioning, tiny_captioning_run, squares, monkeypatch
):
    from recur.data import sources

    packaged = sources.packaged_files

    def without_weights(package, pattern):
        assert package != PACKAGE
        return packaged(package, pattern)

    monkeypatch.setattr("apps.image_captioning.efficientnet_lite.packaged_files", without_weights)
    paths = [str(squares / f"{index}.png") for index in (30, 31)]
    answer = image_captioning("predict", tiny_captioning_run, "--json", *paths)
    assert answer.status == 0
    result = json.loads(answer.output)["answers"]
    assert [record["image"] for record in result] == paths
    assert {record["caption"] for record in result} <= CAPTIONS
    answer = image_captioning("predict", tiny_captioning_run, "--n-best", stdin=paths[0].encode() + b"\n")
    assert answer.status == 0
    assert answer.output.startswith(paths[0])
    assert answer.output.count("\n") == 4


def test_a_server_is_asked_as_predict_answers(exported, tiny_captioner, squares, capsys, tmp_path):
    paths = [str(squares / f"{index}.png") for index in (30, 31)]
    assert_asked_as_predicted(APPLICATION, tiny_captioner, exported, paths, capsys)
    (tmp_path / "bad.jpg").write_bytes(b"text")
    with TinyServer(exported, APPLICATION.name) as server:
        capsys.readouterr()
        assert main(APPLICATION, ["ask", "--server", server.rest, paths[0], str(tmp_path / "bad.jpg")]) == 2
        assert "bad.jpg is no JPEG" in capsys.readouterr().err

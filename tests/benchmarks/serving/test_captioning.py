"""The shares of captioning add up, and its parts read the images that the whole reads."""

import pytest
import tensorflow as tf

from apps.image_captioning.application import APPLICATION
from apps.image_captioning.assets import CaptionVocabulary
from apps.image_captioning.config import CaptioningConfig
from benchmarks.serving.captioning import PARTS, Parts, measure, rows
from recur.training.task import Trained

pytestmark = pytest.mark.slow


def test_parts_are_measured_and_shares_add_up():
    assets = CaptionVocabulary(["a", "dog", "runs"])
    config = CaptioningConfig(units=8, embedding_units=8, beam_width=2, longest=4)
    trained = Trained(config, assets, APPLICATION.task.build(config, assets))
    parts, captioner = Parts(trained), APPLICATION.task.serving_module(trained)
    colours = ([9, 8, 7], [200, 3, 40], [1, 2, 3])
    images = [tf.io.encode_png(tf.fill([30, 40, 1], tf.constant(0, tf.uint8)) + c).numpy() for c in colours]
    assert parts.decode(tf.constant(images))["answer"].numpy().tolist() == [9, 200, 3]
    ways = dict(zip(PARTS, (parts.decode, parts.encode, captioner.caption), strict=True))
    numpy = {
        name: lambda some, way=way: {key: value.numpy() for key, value in way(tf.constant(list(some))).items()}
        for name, way in ways.items()
    }
    seconds, captions = measure(numpy, images, 1)
    assert captions == [text.decode() for text in captioner.caption(tf.constant(images))["caption"].numpy()]
    for row in rows(seconds):
        assert row["captions_per_second"] > 0
        assert row["decoding"] + row["encoding"] + row["search"] == pytest.approx(1)

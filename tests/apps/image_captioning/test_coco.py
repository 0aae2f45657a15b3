"""A TensorFlow dataset with the features of `coco_captions`."""

import io

import numpy as np
import pytest
from PIL import Image

from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.data import read_album
from recur.errors import InputError


def picture(number):
    """Pixels that tell which picture it is: uint8 [4, 4, 3]."""
    return np.full((4, 4, 3), number, np.uint8)


@pytest.fixture
def store(tensorflow_datasets_folder):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "image/filename": tfds.features.Text(),
        "captions": tfds.features.Sequence({"id": np.int64, "text": tfds.features.Text()}),
    }

    def examples(split, numbers):
        def generate():
            for number in numbers:
                texts = [f"{split} image {number}", f"The {number}."]
                captions = {"id": [2 * number, 2 * number + 1], "text": texts}
                yield {"image": picture(number), "image/filename": f"{number}.jpg", "captions": captions}

        captions = {"id": tf.TensorSpec([2], tf.int64), "text": tf.TensorSpec([2], tf.string)}
        specification = {
            "image": tf.TensorSpec([4, 4, 3], tf.uint8),
            "image/filename": tf.TensorSpec([], tf.string),
            "captions": captions,
        }
        return tf.data.Dataset.from_generator(generate, output_signature=specification)

    def stored(**splits):
        tfds.dataset_builders.store_as_tfds_dataset(
            name="tiny_captions",
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={split: examples(split, numbers) for split, numbers in splits.items()},
            data_dir=tensorflow_datasets_folder,
            disable_shuffling=True,
        )

    return stored


def numbers_of(part):
    """Which pictures its images are."""
    return [int(np.asarray(Image.open(io.BytesIO(image)))[0, 0, 0]) for image in part.images]


def test_the_division_of_karpathy(store):
    store(train=range(5), restval=range(5, 8), val=range(8, 10), test=range(10, 13))
    album = read_album("tiny_captions", CaptioningConfig())
    assert sorted(numbers_of(album.train)) == list(range(8))
    assert (numbers_of(album.validation), numbers_of(album.test)) == ([8, 9], [10, 11, 12])
    assert album.test.captions[0] == ["test image 10", "The 10."]
    assert album.test.images.files[0].name == "tiny_captions/test/10.jpg"
    assert [album.test.images[number] for number in (2, 0, 1, 1)] == [
        album.test.images[number] for number in (2, 0, 1, 1)
    ]


def test_without_the_features(tensorflow_datasets_folder):
    with pytest.raises(InputError, match="there is neither a path nor a TensorFlow dataset named 'coco_caption'"):
        read_album("coco_caption", CaptioningConfig())
    with pytest.raises(InputError, match="'mnist' has no feature named captions; it has image, label"):
        read_album("mnist", CaptioningConfig())

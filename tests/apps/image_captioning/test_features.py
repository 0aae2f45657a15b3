"""Features are what the encoder gives, computed once; views of an image are a little different each time."""

import keras
import numpy as np
import PIL.Image
import pytest

from apps.image_captioning.features import encoder_fingerprint, image_features, random_views
from recur.data.caches import cache_folder
from recur.data.sources import fingerprint
from recur.errors import InputError
from tests.apps.image_captioning.conftest import encoded

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def encoder():
    return small_encoder()


def small_encoder(seed=0):
    initializer = keras.initializers.RandomNormal(seed=seed)
    pixels = keras.Input([224, 224, 3], dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(4, 32, 32, kernel_initializer=initializer)(x)
    return keras.Model(pixels, x, name="small")


class Images(list):
    """Counts how often each is read, and may fail at one."""

    def __init__(self, contents):
        super().__init__(contents)
        self.reads, self.fails_at = [], None

    def __getitem__(self, index):
        self.reads.append(index)
        if index == self.fails_at:
            raise InputError(f"cannot read photo-{index}.jpg: Input/output error")
        return super().__getitem__(index)


@pytest.fixture
def images():
    return Images(encoded(PIL.Image.new("RGB", (8, 8), (25 * number, 0, 250)), "PNG") for number in range(10))


def compute(images, encoder, batch_size=2):
    images.reads.clear()
    return image_features(images, fingerprint(list(images)), encoder, batch_size)


def test_they_are_what_the_encoder_gives(images, encoder):
    features = compute(images, encoder, batch_size=3)
    assert (features.shape, features.dtype) == ((10, 7, 7, 4), np.float16)
    pixels = np.tile(np.array([[25 * number, 0, 250] for number in range(10)], np.uint8)[:, None, None], (224, 224, 1))
    np.testing.assert_allclose(features, encoder(pixels), atol=0.01)
    assert isinstance(features, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        features[0] = 0
    np.testing.assert_array_equal(features[[3, 1, 3]], np.stack([features[3], features[1], features[3]]))


def test_they_are_computed_once_for_the_same_images_and_encoder(images, encoder):
    first = np.array(compute(images, encoder))
    assert sorted(images.reads) == list(range(10))
    np.testing.assert_array_equal(compute(images, encoder, batch_size=5), first)
    assert images.reads == []
    other = compute(images, small_encoder(seed=1))
    assert len(images.reads) == 10
    assert not np.allclose(other, first)
    compute(Images(reversed(list(images))), encoder)
    assert len(list(cache_folder().iterdir())) == 3


def test_an_image_that_cannot_be_read_is_named_and_the_others_are_kept(images, encoder):
    images.fails_at = 7
    with pytest.raises(InputError, match=r"^cannot read photo-7\.jpg"):
        compute(images, encoder)
    images.fails_at = None
    resumed = np.array(compute(images, encoder))
    assert sorted(images.reads) == [6, 7, 8, 9]
    np.testing.assert_array_equal(resumed, image_features(images, "elsewhere", encoder, 2))


def test_an_image_that_cannot_be_decoded_is_counted(images, encoder):
    images = Images([*images[:4], b"text"])
    with pytest.raises(InputError, match=r"^image 4 is no JPEG"):
        compute(images, encoder)


def test_an_encoder_is_known_by_its_weights():
    assert encoder_fingerprint(small_encoder()) == encoder_fingerprint(small_encoder())
    assert encoder_fingerprint(small_encoder()) != encoder_fingerprint(small_encoder(1))


@pytest.fixture(scope="module")
def pixels():
    """Images whose red grows from left to right and whose green grows from top to bottom."""
    rows, columns = np.meshgrid(np.arange(40), np.arange(50), indexing="ij")
    image = np.stack([5 * columns, 6 * rows, 0 * rows], axis=-1).astype(np.uint8)
    return np.tile(image, (200, 1, 1, 1))


def test_a_view_is_most_of_an_image_and_the_same_for_the_same_seed(pixels):
    views = random_views(pixels, mirror=False, seed=1)
    assert views.shape == pixels.shape
    assert views.dtype == np.uint8
    np.testing.assert_array_equal(views, random_views(pixels, mirror=False, seed=1))
    assert (views != random_views(pixels, mirror=False, seed=2)).any()
    widths = (views[:, 20, -1, 0] - views[:, 20, 0, 0].astype(int)) / (5 * 49)
    assert widths.min() > 0.78
    assert widths.max() < 1.01
    heights = (views[:, -1, 20, 1] - views[:, 0, 20, 1].astype(int)) / (6 * 39)
    assert heights.min() > 0.78
    assert abs(np.corrcoef(widths, heights)[0, 1]) < 0.3  # each by itself


def test_half_of_the_images_are_mirrored_where_that_is_asked_for(pixels):
    views = random_views(pixels, mirror=True, seed=1).astype(int)
    mirrored = views[:, 20, 0, 0] > views[:, 20, -1, 0]
    assert 0.35 < mirrored.mean() < 0.65
    assert (views[:, -1, 20, 1] > views[:, 0, 20, 1]).all()  # never upside down

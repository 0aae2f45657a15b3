"""Every kind of image becomes the pixels that Pillow shows, alike in training and in a saved model."""

import io

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from apps.image_captioning.images import decode_images, decoded_ahead
from tests.apps.image_captioning.conftest import PHOTOGRAPHS, encoded


def decode(content: bytes) -> np.ndarray:
    pixels = decode_images(tf.constant([content])).numpy()
    assert (pixels.shape, pixels.dtype) == ((1, 224, 224, 3), np.uint8)
    return pixels[0]


def resized(image: PIL.Image.Image) -> np.ndarray:
    """What Pillow makes of it."""
    return np.asarray(image.convert("RGB").resize((224, 224), PIL.Image.Resampling.BICUBIC))


def assert_similar(pixels, expected, difference):
    assert np.abs(pixels.astype(int) - expected).mean() < difference


def with_16_bits(image: PIL.Image.Image) -> bytes:
    pixels = np.asarray(image).astype(np.uint16) * 257
    return tf.io.encode_png(pixels.reshape(*pixels.shape[:2], -1)).numpy()


def opened(content: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(content))


JPEGS = {
    "JPEG": lambda image: encoded(image, "JPEG"),
    "progressive": lambda image: encoded(image, "JPEG", progressive=True),
    "grey": lambda image: encoded(image.convert("L"), "JPEG"),
    "CMYK": lambda image: encoded(image.convert("CMYK"), "JPEG"),
}
LOSSLESS = {
    "PNG": lambda image: (encoded(image, "PNG"), image),
    "grey PNG": lambda image: (encoded(image.convert("L"), "PNG"), image.convert("L")),
    "1-bit PNG": lambda image: (encoded(image.convert("1"), "PNG"), image.convert("1")),
    "palette PNG": lambda image: (encoded(image.quantize(), "PNG"), image.quantize()),
    "PNG of 16 colours": lambda image: (encoded(image.quantize(16), "PNG"), image.quantize(16)),
    "PNG of 4 colours": lambda image: (encoded(image.quantize(4), "PNG"), image.quantize(4)),
    "16-bit PNG": lambda image: (with_16_bits(image), image),
    "grey 16-bit PNG": lambda image: (with_16_bits(image.convert("L")), image.convert("L")),
    "BMP": lambda image: (encoded(image, "BMP"), image),
    "32-bit BMP": lambda image: (encoded(image.convert("RGBA"), "BMP"), image),
    "GIF": lambda image: (encoded(image.quantize(), "GIF"), image.quantize()),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_shows_what_pillow_shows(kind, photograph):
    content = JPEGS[kind](photograph)
    assert_similar(decode(content), resized(opened(content)), 2)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_it_shows_what_pillow_shows(kind, photograph):
    content, image = LOSSLESS[kind](photograph)
    assert_similar(decode(content), resized(image), 1.5)


def test_a_large_photograph_is_shrunk_as_pillow_does():
    content = PHOTOGRAPHS["china"].read_bytes()
    assert opened(content).size == (640, 427)
    assert_similar(decode(content), resized(opened(content)), 1.5)


def test_an_image_of_the_right_size_stays_as_it_is(photograph):
    image = photograph.resize((224, 224))
    np.testing.assert_array_equal(decode(encoded(image, "PNG")), np.asarray(image))
    content = encoded(image, "JPEG")
    np.testing.assert_array_equal(decode(content), tf.io.decode_image(content, 3))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3000, 2)])
def test_extreme_shapes(size):
    colour = (10, 200, 30)
    assert (decode(encoded(PIL.Image.new("RGB", size, colour), "PNG")) == colour).all()


class TestAlpha:
    def test_it_is_laid_on_white(self, translucent):
        white = PIL.Image.new("RGBA", translucent.size, "white")
        expected = resized(PIL.Image.alpha_composite(white, translucent))
        assert_similar(decode(encoded(translucent, "PNG")), expected, 1)
        assert_similar(decode(with_16_bits(translucent)), expected, 1)

    def test_of_grey(self, translucent):
        grey = translucent.convert("LA")
        white = PIL.Image.new("RGBA", grey.size, "white")
        expected = resized(PIL.Image.alpha_composite(white, grey.convert("RGBA")))
        assert_similar(decode(encoded(grey, "PNG")), expected, 1)

    def test_what_cannot_be_seen_does_not_matter(self):
        first, second = (PIL.Image.new("RGBA", (9, 9), (colour, 0, 90, 0)) for colour in (0, 255))
        assert (decode(encoded(first, "PNG")) == 255).all()
        assert (decode(encoded(second, "PNG")) == 255).all()

    def test_a_transparent_colour_of_a_palette(self):
        image = PIL.Image.new("P", (9, 9), 3)
        image.putpalette(range(255))
        assert (decode(encoded(image, "PNG", transparency=3)) == 255).all()
        assert (decode(encoded(image, "GIF", transparency=3)) == 0).all()  # as documented


class TestOrientation:
    @pytest.mark.parametrize("order", ["II", "MM"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_photographs_stand_upright(self, photograph, orientation, order):
        exif = photograph.getexif()
        exif.endian = {"II": "<", "MM": ">"}[order]
        exif[0x010F] = "maker"
        exif[0x0112] = orientation
        content = encoded(photograph, "JPEG", quality=95, exif=exif)
        assert b"Exif\0\0" + order.encode() in content
        assert_similar(decode(content), resized(PIL.ImageOps.exif_transpose(opened(content))), 2)

    @pytest.mark.parametrize("orientation", [0, 9, 255])
    def test_one_that_means_nothing(self, photograph, orientation):
        exif = photograph.getexif()
        exif[0x0112] = orientation
        turned, plain = encoded(photograph, "JPEG", exif=exif), encoded(photograph, "JPEG")
        np.testing.assert_array_equal(decode(turned), decode(plain))


def test_the_first_frame_of_an_animation(photograph):
    frames = [photograph.rotate(angle).quantize() for angle in (0, 90, 180)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert_similar(decode(content), resized(frames[0]), 0.5)
    assert_similar(decode(content[: len(content) // 2]), resized(frames[0]), 0.5)  # nothing else is looked at


def test_the_same_in_training_in_any_batch_and_in_a_saved_model(photograph, translucent, tmp_path):
    images = [encoded(photograph, "JPEG"), encoded(translucent, "PNG"), encoded(photograph, "GIF")]
    alone = np.stack([decode(image) for image in images])
    np.testing.assert_array_equal(decode_images(tf.constant(images)), alone)
    np.testing.assert_array_equal(np.concatenate(list(decoded_ahead(images, np.arange(3), 2))), alone)
    module = tf.Module()
    module.decode = decode_images
    tf.saved_model.save(module, tmp_path)
    saved = tf.saved_model.load(tmp_path)
    np.testing.assert_array_equal(saved.decode(tf.constant(images)), alone)
    assert saved.decode(tf.constant([], tf.string)).shape == (0, 224, 224, 3)


def test_too_many_pixels_are_refused_by_the_header():
    huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (10_001).to_bytes(4) * 2 + b"\x08\x02\0\0\0"
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many pixels"):
        decode_images(tf.constant([huge]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="no JPEG, PNG, GIF or plain BMP"):
        decode_images(tf.constant([b"text"]))

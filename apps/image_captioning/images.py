"""Encoded images to pixels, as operations of TensorFlow alone: a served model reads images as training did.

What TensorFlow 2.21's decoders make of unusual images, found by trying:

- JPEG: grey becomes RGB, and CMYK does without a colour profile. The orientation in EXIF is ignored, so it is applied
  here. A file that is cut short is an error.
- PNG: palettes, 1 bit and 16 bits (the upper 8 are kept) become 8-bit RGB. Asked for RGB, alpha is dropped, which
  shows whatever colour transparent pixels happen to have; here an image with alpha is laid on white. Asked for RGBA,
  an image of 1, 2 or 4 bits without alpha gets an alpha of 1, 3 or 15 where it should be 255.
- GIF: the first frame is decoded and no other is looked at. Transparent pixels are black.
- BMP: 24 bits, and 32 of which the last 8 are dropped. Of 8 bits it would take the index for a grey, whatever the
  palette says; these are refused as those of fewer bits are.
- `decode_image` would also read WebP and JPEG XL, which not every server does; they are refused.
"""

import concurrent.futures
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
import tqdm

from apps.image_captioning.efficientnet_lite import SIZE
from apps.image_captioning.image_files import DAMAGED, MOST_PIXELS, header_fault
from recur.data.caches import cached_arrays
from recur.errors import InputError

VERSION = "images-1"
"""Another one makes cached features worthless."""

_HEADER = 32
_ORIENTATION = (
    # Exif, then the first directory of a TIFF in either order of bytes; \C is any byte. The tag is 0x0112, its type 3.
    r"(?s)^\C*?Exif\x00\x00(?:"
    r"II\*\x00\C*?\x12\x01\x03\x00\x01\x00\x00\x00([\x01-\x08])\x00|"
    r"MM\x00\*\C*?\x01\x12\x00\x03\x00\x00\x00\x01\x00([\x01-\x08])"
    r")\C*$"
)
_ORIENTATION_WITHIN = 4096
"""Bytes from the start among which a JPEG has its orientation: after a JFIF header, before any picture."""


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def decode_images(image_bytes: tf.Tensor) -> tf.Tensor:
    """Pixels of encoded images; each depends on its own bytes alone.

    Args:
        image_bytes: string [N]: JPEG, PNG, GIF or BMP.

    Returns:
        uint8 [N, 224, 224, 3].

    Raises:
        tf.errors.InvalidArgumentError: One is of another format, damaged, or larger than `MOST_PIXELS`.
    """
    return tf.map_fn(
        decode_image,
        image_bytes,
        parallel_iterations=4,
        fn_output_signature=tf.TensorSpec([SIZE, SIZE, 3], tf.uint8),
    )


def decode_what_can_be(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `decode_images`, but what cannot be decoded is black, and the others are as they would be without it.

    TensorFlow's decoders fail the whole graph. Only `tf.data` goes on after an error, so images that were decoded come
    out of a data set with their places, followed by one of none, because a data set of nothing is an error too.

    Args:
        image_bytes: string [N].

    Returns:
        uint8 [N, 224, 224, 3], and bool [N], whether it was decoded.
    """
    images = tf.size(image_bytes)

    def decode(place: tf.Tensor, content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return place, decode_image(content)

    contents = tf.data.Dataset.from_tensor_slices((tf.range(images), image_bytes))
    decoded = contents.map(decode, num_parallel_calls=4, deterministic=False).ignore_errors()
    nothing = tf.data.Dataset.from_tensors((images, tf.zeros([SIZE, SIZE, 3], tf.uint8)))
    together = decoded.concatenate(nothing).batch(tf.cast(images, tf.int64) + 1)
    places, pixels = together.get_single_element()
    pixels = tf.scatter_nd(places[:, None], pixels, tf.stack([images + 1, SIZE, SIZE, 3]))
    good = tf.scatter_nd(places[:, None], tf.ones_like(places, tf.bool), [images + 1])
    return tf.ensure_shape(pixels[:images], [None, SIZE, SIZE, 3]), good[:images]


def decode_image(image_bytes: tf.Tensor) -> tf.Tensor:
    """Pixels of one encoded image, upright, squashed into a square as those of Flickr8k are.

    An image of 224 x 224 pixels stays as it is. Others are resized by cubic interpolation that averages what it
    shrinks, as Pillow does.

    Args:
        image_bytes: string []: JPEG, PNG, GIF or BMP.

    Returns:
        uint8 [224, 224, 3].

    Raises:
        tf.errors.InvalidArgumentError: As `decode_images`.
    """
    pixels = tf.image.resize(decode_pixels(image_bytes), [SIZE, SIZE], "bicubic", antialias=True)
    pixels = tf.cast(tf.round(tf.clip_by_value(pixels, 0, 255)), tf.uint8)
    return tf.ensure_shape(_upright(pixels, _orientation(image_bytes)), [SIZE, SIZE, 3])


def decode_pixels(image_bytes: tf.Tensor) -> tf.Tensor:
    """Pixels of one encoded image, as it is stored: string [] to uint8 [height, width, 3].

    Raises:
        tf.errors.InvalidArgumentError: As `decode_images`.
    """
    size = count_pixels(image_bytes)
    checks = [
        tf.debugging.assert_positive(size, "an image is no JPEG, PNG, GIF or plain BMP"),
        tf.debugging.assert_less_equal(size, tf.constant(MOST_PIXELS, tf.int64), "an image has too many pixels"),
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):  # eagerly, they return nothing
        image_bytes = tf.identity(image_bytes)
    return tf.cond(
        _starts(image_bytes, b"\x89PNG"),
        lambda: _decode_png(image_bytes),
        lambda: tf.ensure_shape(tf.io.decode_image(image_bytes, 3, expand_animations=False), [None, None, 3]),
    )


def _decode_png(image_bytes: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_png(image_bytes, channels=4)
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    depth = tf.cast(_header(image_bytes)[24], tf.int32)
    without_alpha = tf.cast(tf.bitwise.left_shift(1, tf.minimum(depth, 8)) - 1, tf.uint8)

    def on_white() -> tf.Tensor:
        opaque = tf.cast(alpha, tf.uint16)
        mixed = tf.cast(colours, tf.uint16) * opaque + 255 * (255 - opaque)  # at most 255 * 255
        return tf.cast((mixed + 127) // 255, tf.uint8)

    return tf.cond(tf.reduce_all(tf.equal(alpha, without_alpha)), lambda: colours, on_white)


def _starts(image_bytes: tf.Tensor, magic: bytes) -> tf.Tensor:
    """Whether a string starts so: bool []."""
    return tf.equal(tf.strings.substr(image_bytes, 0, len(magic)), magic)


def count_pixels(image_bytes: tf.Tensor) -> tf.Tensor:
    """How many pixels an image has by its header; nothing is decoded.

    Args:
        image_bytes: string [].

    Returns:
        int64 [], 0 where it is no JPEG, PNG, GIF or BMP of 24 or 32 bits.

    Raises:
        tf.errors.InvalidArgumentError: The header of a JPEG is damaged.
    """
    header = _header(image_bytes)

    def little(begin: int, count: int) -> tf.Tensor:
        return tf.reduce_sum(header[begin : begin + count] * [256**place for place in range(count)])

    def big(begin: int) -> tf.Tensor:
        return tf.reduce_sum(header[begin : begin + 4] * [256**place for place in (3, 2, 1, 0)])

    def bmp() -> tf.Tensor:
        height = little(22, 4)
        height = tf.minimum(height, 2**32 - height)  # negative: from the top down
        plain = tf.reduce_any(tf.equal(little(28, 2), [24, 32]))
        return tf.where(plain, little(18, 4) * height, 0)

    return tf.case(
        [
            (
                _starts(image_bytes, b"\xff\xd8\xff"),
                lambda: tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(image_bytes)[:2], tf.int64)),
            ),
            (_starts(image_bytes, b"\x89PNG"), lambda: big(16) * big(20)),
            (_starts(image_bytes, b"GIF8"), lambda: little(6, 2) * little(8, 2)),
            (_starts(image_bytes, b"BM"), bmp),
        ],
        default=lambda: tf.constant(0, tf.int64),
    )


def _header(image_bytes: tf.Tensor) -> tf.Tensor:
    """The first bytes of a string, zeros after its end: string [] to int64 [32]."""
    start = tf.strings.substr(image_bytes, 0, _HEADER) + b"\0" * _HEADER
    return tf.cast(tf.io.decode_raw(tf.strings.substr(start, 0, _HEADER), tf.uint8), tf.int64)


def _orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """How a JPEG's rows and columns lie, as EXIF counts: int32 [], 1 to 8; 1 where it does not say."""
    start = tf.strings.substr(image_bytes, 0, _ORIENTATION_WITHIN)
    said = tf.strings.regex_replace(start, _ORIENTATION, r"\1\2", replace_global=False)
    known = _starts(image_bytes, b"\xff\xd8\xff") & tf.equal(tf.strings.length(said), 1)
    return tf.cast(tf.io.decode_raw(tf.where(known, said, b"\1"), tf.uint8)[0], tf.int32)


def _upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """A square image as it is to be seen: uint8 [size, size, 3], the same shape."""

    def among(*numbers: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(orientation, numbers))

    pixels = tf.cond(among(5, 6, 7, 8), lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    pixels = tf.cond(among(2, 3, 6, 7), lambda: tf.reverse(pixels, [1]), lambda: pixels)
    return tf.cond(among(3, 4, 7, 8), lambda: tf.reverse(pixels, [0]), lambda: pixels)


def decoded(contents: Iterable[bytes]) -> np.ndarray:
    """Images as the encoder sees them: uint8 [images, 224, 224, 3].

    Raises:
        tf.errors.InvalidArgumentError: As `decode_images`.
    """
    return decode_images(tf.constant(list(contents), tf.string)).numpy()


def decoded_ahead(images: Sequence[bytes], rows: np.ndarray, batch_size: int) -> Iterator[tf.Tensor]:
    """Some images as the encoder sees them, read and decoded in parallel and ahead.

    Args:
        images: Contents of files.
        rows: Indices of those to give, in their order, int64 [rows].
        batch_size: Images in a batch; the last may have fewer.

    Yields:
        Batches uint8 [N, 224, 224, 3].

    Raises:
        InputError: An image cannot be read, or cannot be decoded.
    """

    def read(row: tf.Tensor) -> tf.Tensor:
        content = tf.numpy_function(lambda index: images[int(index)], [row], tf.string, stateful=False)
        return decode_image(tf.ensure_shape(content, []))

    done = 0
    try:
        for batch in tf.data.Dataset.from_tensor_slices(rows).map(read, tf.data.AUTOTUNE).batch(batch_size).prefetch(2):
            yield batch
            done += len(batch)
    except tf.errors.OpError:
        for row in rows[done : done + batch_size]:
            check_image(f"image {row}", images[row])
        raise


# Whatever the content: compiled once.
_decode = tf.function(decode_pixels, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def check_image(name: str, content: bytes) -> None:
    """Refuses what the graph cannot decode; an image that is too large is known by its header and not decoded.

    Args:
        name: What to call it.
        content: Of its file.

    Raises:
        InputError: It is no image, of another format, damaged, cut short, or has too many pixels.
    """
    if fault := _fault(content):
        raise InputError(f"{name} {fault}")


def bad_images(images: Sequence[bytes], fingerprint: str) -> dict[int, str]:
    """Which images cannot be decoded, determined once for the same images.

    Args:
        images: Contents of files. Those in memory are one a processor.
        fingerprint: Of all of them in this order: `recur.data.sources.fingerprint(images)`.

    Returns:
        What is wrong with each bad one and what to do, to stand behind its name, by its index.
    """

    def compute() -> dict[str, np.ndarray]:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:  # TensorFlow decodes without the lock
            checks = threads.map(lambda index: _fault(images[index]), range(len(images)))
            faults = list(
                tqdm.tqdm(checks, "checking images", len(images), unit="image", delay=2, leave=False, disable=None)
            )
        bad = [index for index, fault in enumerate(faults) if fault]
        return {"bad": np.array(bad, np.int64), "faults": np.array([faults[index] for index in bad], np.str_)}

    stored = cached_arrays(f"bad-{VERSION}-{fingerprint}", compute)
    return dict(zip(stored["bad"].tolist(), stored["faults"].tolist(), strict=True))


def _fault(content: bytes) -> str:
    """What is wrong with an image, or nothing."""
    if fault := header_fault(content):
        return fault
    try:
        _decode(content)
    except tf.errors.InvalidArgumentError:
        return DAMAGED
    return ""

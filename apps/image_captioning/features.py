"""What training shows of images: features that an encoder gave once, or pixels a little different each time."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
import tqdm

from apps.image_captioning.images import VERSION, decoded, decoded_ahead
from recur.data.caches import cached_rows
from recur.data.sources import fingerprint

LEAST = 0.8  # of the height and of the width that a crop keeps


def image_features(
    images: Sequence[bytes], images_fingerprint: str, encoder: keras.Model, batch_size: int = 32
) -> np.ndarray:
    """Features of many images, in one file on disk that is read where it lies.

    What was computed before a kill is not computed again. Of EfficientNet-Lite0 an image takes 125 kB, Flickr8k 1 GB.

    Args:
        images: Contents of files; `images.bad_images` says which cannot be decoded.
        images_fingerprint: Of all of them in this order: `recur.data.sources.fingerprint(images)`.
        encoder: From pixels uint8 [N, height, width, 3] to features [N, …], as it is used when the model is served.
        batch_size: Images that are encoded together.

    Returns:
        float16 [images, …], memory-mapped and not to be written to.

    Raises:
        InputError: There is no room for them, or an image cannot be read or decoded.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, *encoder.input_shape[1:]], tf.uint8)])
    def encode(pixels: tf.Tensor) -> tf.Tensor:
        return tf.cast(encoder(pixels, training=False), tf.float16)

    def compute(rows: np.ndarray) -> Iterator[np.ndarray]:
        done = len(images) - len(rows)
        with tqdm.tqdm(
            desc="encoding images", total=len(images), initial=done, unit="image", delay=2, leave=False, disable=None
        ) as bar:
            for pixels in decoded_ahead(images, rows, batch_size):
                yield encode(pixels).numpy()
                bar.update(len(pixels))

    key = f"features-{VERSION}-{images_fingerprint}-{encoder_fingerprint(encoder)}"
    return cached_rows(key, (len(images), *encoder.output_shape[1:]), np.float16, compute)


def encoder_fingerprint(encoder: keras.Model) -> str:
    """Tells one encoder from another by its name and its weights."""
    parts = (part for weight in encoder.get_weights() for part in (str(weight.shape), weight.tobytes()))
    return fingerprint([encoder.name, *parts])


def mean_features(features: np.ndarray) -> np.ndarray:
    """Averages over the regions: features [images, rows, columns, channels] to float32 [images, channels]."""
    return np.stack([image.astype(np.float32).mean(axis=(0, 1)) for image in features])


def pixels_of(images: Sequence[bytes], rows: np.ndarray) -> np.ndarray:
    """Pixels uint8 [rows, 224, 224, 3] of some images, each decoded once."""
    different, places = np.unique(rows, return_inverse=True)
    return decoded(images[index] for index in different)[places]


def random_views(pixels: np.ndarray, mirror: bool, seed: int) -> np.ndarray:
    """Crops of four fifths at least of the height and the width, brought back to size; the same for the same seed.

    Args:
        pixels: uint8 [images, height, width, 3].
        mirror: Whether every second image, by chance, is mirrored.
        seed: Of the draw.

    Returns:
        uint8, of the same shape.
    """
    random = np.random.default_rng(seed)
    sizes = random.uniform(LEAST, 1, (len(pixels), 2))
    begins = random.uniform(0, 1 - sizes)
    boxes = np.concatenate([begins, begins + sizes], axis=1)  # top, left, bottom, right
    if mirror:
        mirrored = random.random(len(pixels)) < 0.5
        boxes[mirrored] = boxes[mirrored][:, [0, 3, 2, 1]]
    views = tf.image.crop_and_resize(pixels, boxes, np.arange(len(pixels)), pixels.shape[1:3])
    return tf.cast(tf.round(views), tf.uint8).numpy()

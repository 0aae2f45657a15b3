"""What an encoder sees in images: computed once for the same images and the same encoder."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
import tqdm

from apps.image_captioning.image_files import check_image
from apps.image_captioning.images import VERSION, decode_image
from recur.data.caches import cached_rows
from recur.data.sources import fingerprint


def encoder_fingerprint(encoder: keras.Model) -> str:
    """Tells one encoder from another by its name and its weights."""
    parts = (part for weight in encoder.get_weights() for part in (str(weight.shape), weight.tobytes()))
    return fingerprint([encoder.name, *parts])


def image_features(
    images: Sequence[bytes], images_fingerprint: str, encoder: keras.Model, batch_size: int = 32
) -> np.ndarray:
    """Features of many images, in one file on disk that is read where it lies.

    What was computed before a kill is not computed again. Of EfficientNet-Lite0 an image takes 125 kB, Flickr8k 1 GB.

    Args:
        images: Contents of files; `image_files.bad_images` says which cannot be decoded.
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
            for pixels in pixel_batches(images, rows, batch_size):
                yield encode(pixels).numpy()
                bar.update(len(pixels))

    key = f"features-{VERSION}-{images_fingerprint}-{encoder_fingerprint(encoder)}"
    return cached_rows(key, (len(images), *encoder.output_shape[1:]), np.float16, compute)


def pixel_batches(images: Sequence[bytes], rows: np.ndarray, batch_size: int) -> Iterator[tf.Tensor]:
    """Pixels of some images, read and decoded in parallel and ahead.

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

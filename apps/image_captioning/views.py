"""Images as they are shown to an encoder that is trained: each time a little different."""

import numpy as np
import tensorflow as tf

from apps.image_captioning.batches import Sight
from apps.image_captioning.efficientnet_lite import SIZE
from apps.image_captioning.images import decode_images
from apps.image_captioning.pictures import Part, Pictures

LEAST = 0.8  # of the height and of the width that a crop keeps


def pixels_as_seen(train: Part, validation: Part, mirror: bool) -> Sight:
    """Pixels uint8 [images, 224, 224, 3], cropped at random in training.

    Args:
        train: The train part.
        validation: The validation part, whose images are shown whole.
        mirror: Whether every second train image, by chance, is mirrored.
    """
    return Sight(
        lambda images, seed: {"pixels": random_views(pixels_of(train.pictures, images), mirror, seed)},
        lambda images: {"pixels": pixels_of(validation.pictures, images)},
        {"pixels": tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8)},
    )


def pixels_of(pictures: Pictures, images: np.ndarray) -> np.ndarray:
    """Pixels uint8 [images, 224, 224, 3] of some images, each decoded once."""
    different, places = np.unique(images, return_inverse=True)
    return decode_images(tf.constant([pictures[index] for index in different], tf.string)).numpy()[places]


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

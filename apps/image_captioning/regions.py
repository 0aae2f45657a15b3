"""Features of an image as a memory of regions that know where they are."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class Regions(keras.layers.Layer):
    """Brings features of regions to another width, and adds what stands for their row and their column.

    A region is W f + b + r_row + c_column. Features of a convolutional network say little of where they are, and what
    an attention has averaged says nothing, and "to the left of" needs it. The vectors r and c are learned, as the
    positions of words are in Gehring et al. 2017, section 3.1. Nothing follows the sum, so that the mean of all regions
    tells what there is, and where it is only as far as the features do.

    Args:
        units: Width of a region.

    Example:
        >>> Regions(4)(keras.ops.ones((2, 7, 7, 8))).shape
        TensorShape([2, 49, 4])
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.projection = keras.layers.Dense(units, name="projection", dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Builds the projection and the places, given [N, rows, columns, channels]."""
        _, rows, columns, _ = input_shape
        self.projection.build(tuple(input_shape))
        options = {"initializer": keras.initializers.RandomNormal(stddev=0.1)}
        self.rows = self.add_weight(shape=(rows, 1, self.units), name="rows", **options)
        self.columns = self.add_weight(shape=(1, columns, self.units), name="columns", **options)

    def call(self, features: Tensor) -> Tensor:
        """Returns the regions [N, rows * columns, units] of features [N, rows, columns, channels]."""
        _, rows, columns, _ = features.shape
        projected = self.projection(ops.cast(features, self.compute_dtype)) + self.rows + self.columns
        return ops.reshape(projected, (-1, rows * columns, self.units))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"units": self.units}

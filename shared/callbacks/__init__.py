"""Callbacks for any Keras 3 model on TensorFlow."""

from shared.callbacks.gradient_clipping import GradientClipping

__all__ = ["GradientClipping"]

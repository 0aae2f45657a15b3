"""Keras callbacks that work on the gradients of any model's training step."""

from shared.callbacks.gradient_clipping import GradientClipping

__all__ = ["GradientClipping"]

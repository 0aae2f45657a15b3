"""Callbacks for any Keras 3 model on TensorFlow."""

from typing import Any

from recur.callbacks.gradient_clipping import GradientClipping

__all__ = ["GradientClipping", "GradientMonitor"]


def __getattr__(name: str) -> Any:
    if name == "GradientMonitor":  # it draws: who only clips need not wait for matplotlib
        from recur.callbacks.gradient_monitor import GradientMonitor

        return GradientMonitor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

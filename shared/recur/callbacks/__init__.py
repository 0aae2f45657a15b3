"""Callbacks for any Keras 3 model on TensorFlow: one clips its gradients, one watches them."""

from typing import TYPE_CHECKING

from recur.lazy import door

if TYPE_CHECKING:
    from recur.callbacks.gradient_clipping import GradientClipping
    from recur.callbacks.gradient_monitor import GradientMonitor

__all__ = [
    "GradientClipping",
    "GradientMonitor",
]

__getattr__ = door(
    __name__,
    {
        "gradient_clipping": ["GradientClipping"],
        "gradient_monitor": ["GradientMonitor"],
    },
)

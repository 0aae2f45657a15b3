"""Gradients as functions of TensorFlow: their norms, what clips them, their way back through time, what ails them."""

from typing import TYPE_CHECKING

from recur.lazy import door

if TYPE_CHECKING:
    from recur.gradients.attribution import Attribution, integrated_gradients
    from recur.gradients.clipping import (
        Clipped,
        ClippingRule,
        NormHistory,
        by_global_norm,
        by_mean_norm,
        by_norm,
        by_percentile,
        by_value,
        by_weight_norm,
    )
    from recur.gradients.diagnosis import Finding, diagnose
    from recur.gradients.heat_maps import gradient_flow, gradient_through_time, write_heat_maps
    from recur.gradients.records import read_records
    from recur.gradients.statistics import all_finite, global_norm, norms, spectral_radii
    from recur.gradients.through_time import carried, flow

__all__ = [
    "Attribution",
    "integrated_gradients",
    "Clipped",
    "ClippingRule",
    "NormHistory",
    "by_global_norm",
    "by_mean_norm",
    "by_norm",
    "by_percentile",
    "by_value",
    "by_weight_norm",
    "Finding",
    "diagnose",
    "gradient_flow",
    "gradient_through_time",
    "write_heat_maps",
    "read_records",
    "all_finite",
    "global_norm",
    "norms",
    "spectral_radii",
    "carried",
    "flow",
]

__getattr__ = door(
    __name__,
    {
        "attribution": ["Attribution", "integrated_gradients"],
        "clipping": [
            "Clipped",
            "ClippingRule",
            "NormHistory",
            "by_global_norm",
            "by_mean_norm",
            "by_norm",
            "by_percentile",
            "by_value",
            "by_weight_norm",
        ],
        "diagnosis": ["Finding", "diagnose"],
        "heat_maps": ["gradient_flow", "gradient_through_time", "write_heat_maps"],
        "records": ["read_records"],
        "statistics": ["all_finite", "global_norm", "norms", "spectral_radii"],
        "through_time": ["carried", "flow"],
    },
)

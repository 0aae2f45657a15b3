"""Metrics and baselines that Keras and scikit-learn do not have."""

from typing import TYPE_CHECKING

from recur.lazy import door

if TYPE_CHECKING:
    from recur.metrics.calibration import (
        Reliability,
        expected_calibration_error,
        fit_temperature,
        reliability,
        wilson_interval,
        with_temperature,
    )
    from recur.metrics.cross_entropy import SmoothedCrossEntropy, nats, smoothed_nats, token_metrics, wrong
    from recur.metrics.ngram import InterpolatedNgram

__all__ = [
    "Reliability",
    "expected_calibration_error",
    "fit_temperature",
    "reliability",
    "wilson_interval",
    "with_temperature",
    "SmoothedCrossEntropy",
    "nats",
    "smoothed_nats",
    "token_metrics",
    "wrong",
    "InterpolatedNgram",
]

__getattr__ = door(
    __name__,
    {
        "calibration": [
            "Reliability",
            "expected_calibration_error",
            "fit_temperature",
            "reliability",
            "wilson_interval",
            "with_temperature",
        ],
        "cross_entropy": ["SmoothedCrossEntropy", "nats", "smoothed_nats", "token_metrics", "wrong"],
        "ngram": ["InterpolatedNgram"],
    },
)

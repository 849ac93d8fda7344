"""Single-stage human pose estimation by query encoding, on Keras 3."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Resolved on first use: importing the package must not import TensorFlow, so that
# `qepose --help` answers at once.
_LAZY = {
    "Skeleton": "qepose_tf.skeleton",
    "PoseEstimator": "qepose_tf.models.pose_estimator",
    "Predictor": "qepose_tf.inference.predictor",
    "load_model": "qepose_tf.models",
}

__all__ = ["PoseEstimator", "Predictor", "Skeleton", "load_model"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])

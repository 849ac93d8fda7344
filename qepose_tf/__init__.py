"""Single-stage human pose estimation by query encoding, on Keras 3.

import qepose_tf as qp

model = qp.PoseEstimator("coco", backbone="w32", input_size=512)
train = qp.read_coco("train.json", "train/")
model.compile(optimizer="adamw")
model.fit(qp.train_dataset(train, model, batch_size=16), epochs=10)
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# The names are imported when they are first used: importing the package must not import
# TensorFlow, so that `qepose --help` answers at once.
_LAZY = {
    "AugmentSettings": "qepose_tf.data.batches.crop",
    "BatchNormSettings": "qepose_tf.models.settings",
    "CocoDataset": "qepose_tf.data.coco.dataset",
    "DEKR": "qepose_tf.models",
    "DecoderSettings": "qepose_tf.models.settings",
    "HeadSettings": "qepose_tf.models.settings",
    "LossSettings": "qepose_tf.models.settings",
    "PoseEstimator": "qepose_tf.models.pose_estimator",
    "Predictor": "qepose_tf.inference.predictor",
    "Skeleton": "qepose_tf.skeleton",
    "Smoother": "qepose_tf.inference.tracking.smoothing",
    "Tracker": "qepose_tf.inference.tracking.tracker",
    "evaluate": "qepose_tf.evaluation.evaluate",
    "export": "qepose_tf.exporting",
    "import_dekr": "qepose_tf.weights",
    "import_weights": "qepose_tf.weights",
    "load_config": "qepose_tf.config.reading",
    "load_model": "qepose_tf.models",
    "mixture": "qepose_tf.data.batches.mixture",
    "read_coco": "qepose_tf.data.coco.dataset",
    "train": "qepose_tf.training.run",
    "train_dataset": "qepose_tf.data.batches.training",
}
_MODULES = {"callbacks": "qepose_tf.training.callbacks"}

__all__ = sorted([*_LAZY, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""Imports PyTorch checkpoints, into a model's body or as a whole, without PyTorch."""

from qepose_tf.weights.dekr import import_dekr
from qepose_tf.weights.importing import (
    ImportReport,
    import_weights,
    load_backbone_weights,
    save_body,
)

__all__ = [
    "ImportReport",
    "import_dekr",
    "import_weights",
    "load_backbone_weights",
    "save_body",
]

"""Imports weights of PyTorch checkpoints into the model's body, without PyTorch."""

from qepose_tf.weights.importing import (
    ImportReport,
    import_weights,
    load_backbone_weights,
    save_body,
)

__all__ = ["ImportReport", "import_weights", "load_backbone_weights", "save_body"]

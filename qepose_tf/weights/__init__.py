"""Weights of PyTorch checkpoints in the model's body; PyTorch is not needed."""

from qepose_tf.weights.importing import (
    ImportReport,
    import_weights,
    load_backbone_weights,
    save_body,
)

__all__ = ["ImportReport", "import_weights", "load_backbone_weights", "save_body"]

"""The callbacks of a run; `CocoAP` and `NonFinite` also work alone in `model.fit`."""

from qepose_tf.training.callbacks.guards import NonFinite
from qepose_tf.training.callbacks.validation import CocoAP

__all__ = ["CocoAP", "NonFinite"]

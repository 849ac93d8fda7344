"""What happens beside the steps of a run.

`CocoAP` and `NonFinite` can be handed to `model.fit` by themselves.
"""

from qepose_tf.training.callbacks.guards import NonFinite
from qepose_tf.training.callbacks.validation import CocoAP

__all__ = ["CocoAP", "NonFinite"]

"""The models that commands take: both have the same inputs and outputs."""

import keras

from qepose_tf.models.dekr import DEKR
from qepose_tf.models.pose_estimator import PoseEstimator

PoseModel = PoseEstimator | DEKR
# By these names Keras looks up their classes.
REGISTERED_NAMES = [
    keras.saving.get_registered_name(kind) for kind in (PoseEstimator, DEKR)
]
# By these names a config and `network_of` know them.
NETWORKS = {"pose_estimator": PoseEstimator, "dekr": DEKR}


def network_of(model: PoseModel) -> str:
    """Returns the name of a model's network, a key of `NETWORKS`."""
    return next(name for name, kind in NETWORKS.items() if isinstance(model, kind))

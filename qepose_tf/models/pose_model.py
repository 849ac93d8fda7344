"""The models that commands take: both have the same inputs and outputs."""

import keras

from qepose_tf.models.dekr import DEKR
from qepose_tf.models.pose_estimator import PoseEstimator

PoseModel = PoseEstimator | DEKR
# By these names Keras looks up their classes.
REGISTERED_NAMES = [
    keras.saving.get_registered_name(kind) for kind in (PoseEstimator, DEKR)
]

"""The pose estimator and its model files."""

from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.models.reading import load_model

__all__ = ["PoseEstimator", "load_model"]

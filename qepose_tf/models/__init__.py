"""The pose estimator, its baseline DEKR, and their model files."""

from qepose_tf.models.dekr import DEKR
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.models.pose_model import PoseModel
from qepose_tf.models.reading import load_model

__all__ = ["DEKR", "PoseEstimator", "PoseModel", "load_model"]

"""Measures and draws how well the scores of detections predict their OKS."""

from qepose_tf.evaluation.calibration.files import read_calibration, write_calibration
from qepose_tf.evaluation.calibration.measures import Bin, Calibration, calibrate

__all__ = [
    "Bin",
    "Calibration",
    "calibrate",
    "read_calibration",
    "write_calibration",
]

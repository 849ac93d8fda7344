"""Is the score the quality? Figures and pictures of scores against OKS."""

from qepose_tf.calibration.figures import Bin, Calibration, calibrate
from qepose_tf.calibration.files import read_calibration, write_calibration

__all__ = [
    "Bin",
    "Calibration",
    "calibrate",
    "read_calibration",
    "write_calibration",
]

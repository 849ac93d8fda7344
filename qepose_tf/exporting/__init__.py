"""Exports models to SavedModel, TFLite, ONNX and OpenVINO; all take uint8 images."""

from qepose_tf.exporting.checks.comparison import Comparison
from qepose_tf.exporting.exporter import FORMATS, Exporter, export

__all__ = ["FORMATS", "Comparison", "Exporter", "export"]

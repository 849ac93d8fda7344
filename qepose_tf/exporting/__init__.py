"""SavedModel, TFLite, ONNX and OpenVINO files that take uint8 images."""

from qepose_tf.exporting.checks.comparison import Comparison
from qepose_tf.exporting.exporter import FORMATS, Exporter, export

__all__ = ["FORMATS", "Comparison", "Exporter", "export"]

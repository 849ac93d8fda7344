"""SavedModel and TFLite files that take uint8 images."""

from qepose_tf.exporting.export import FORMATS, export_model
from qepose_tf.exporting.saved_model import export_saved_model
from qepose_tf.exporting.tflite import export_tflite
from qepose_tf.exporting.verify import Comparison

__all__ = [
    "FORMATS",
    "Comparison",
    "export_model",
    "export_saved_model",
    "export_tflite",
]

"""One call for every export format."""

from pathlib import Path

from qepose_tf.exporting.saved_model import export_saved_model
from qepose_tf.exporting.tflite import export_tflite
from qepose_tf.exporting.verify import Comparison
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.models.reading import load_model

FORMATS = {"saved_model": export_saved_model, "tflite": export_tflite}


def export_model(
    model: PoseEstimator | str | Path,
    format: str,
    path: str | Path,
    overwrite: bool = False,
) -> Comparison:
    """Exports a model, reloads what was written and compares the poses.

    Args:
        model: a model, or the path of a `.keras` file.
        format: a key of `FORMATS`.
        path: to write: a folder for a SavedModel, else a file.
        overwrite: whether an earlier export at `path` is replaced.

    Returns:
        How far the exported model is from the Keras model.

    Raises:
        FileExistsError: `path` exists and may not be replaced.
        ValueError: there is no such format, or the export does not give the model's
            poses; nothing is left at `path` then.
    """
    if format not in FORMATS:
        raise ValueError(f"expected a format of {', '.join(FORMATS)}, got {format!r}")
    if not isinstance(model, PoseEstimator):
        model = load_model(model)
    return FORMATS[format](model, path, overwrite=overwrite)

"""Reading model files; nothing in a file is executed."""

import json
import warnings
import zipfile
from pathlib import Path

import keras

from qepose_tf.models.pose_estimator import PoseEstimator


def load_model(path: str | Path) -> PoseEstimator:
    """Reads a `.keras` file that holds a `PoseEstimator`.

    Args:
        path: of the file.

    Returns:
        The model, with its skeleton, input size and normalisation.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no model, holds another class, or was written by a
            version whose settings this one does not know.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a .keras model file, found none")
    _check_class(path)
    try:
        with warnings.catch_warnings():
            # Keras only warns of a layer whose weights it does not find, and leaves
            # them random.
            warnings.simplefilter("error", UserWarning)
            # safe_mode refuses files that bring code along.
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, UserWarning) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(
            f"{path}: expected a model file of this version of qepose_tf, but it does "
            f"not load: {reason}"
        ) from error


def _check_class(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            name = config["class_name"]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"{path}: expected a .keras model file, but it cannot be read as one"
        ) from error
    if name != PoseEstimator.__name__:
        raise ValueError(f"{path}: expected a PoseEstimator, got a {name}")

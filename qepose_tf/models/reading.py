"""Reading model files; nothing in a file is executed."""

import json
import warnings
import zipfile
import zlib
from pathlib import Path

import keras

from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.presets import PRESETS

REGISTERED_NAME = keras.saving.get_registered_name(PoseEstimator)
# What zipfile, json, h5py and Keras raise over files that are not what they expect.
UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    UserWarning,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_model(path: str | Path) -> PoseEstimator:
    """Reads a `.keras` file that holds a `PoseEstimator`, or a preset.

    Args:
        path: Of the file; or the name of a preset, such as `people`, where no file
            has that name.

    Returns:
        The model, with its skeleton, input size and normalisation.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no model, holds another class, or was written by a
            version whose settings this one does not know.
    """
    if str(path) in PRESETS and not Path(path).is_file():
        path = PRESETS[str(path)].file
    path = Path(path)
    if not path.is_file():
        presets = "" if path.suffix else f" or one of: {', '.join(PRESETS)}"
        raise FileNotFoundError(
            f"{path}: expected a .keras model file{presets}, found none"
        )
    _check_class(path)
    try:
        with warnings.catch_warnings():
            # Keras only warns of a layer whose weights it does not find, and leaves
            # them random.
            warnings.simplefilter("error", UserWarning)
            # safe_mode refuses files that bring code along.
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except UNREADABLE as error:
        # Keras puts what went wrong at the end of a page about configurations.
        text = str(error).rpartition("Exception encountered: ")[2]
        reason = next(iter(text.strip().splitlines()), type(error).__name__)
        raise ValueError(
            f"{path}: expected a model file of this version of qepose_tf, but it does "
            f"not load: {reason}"
        ) from error


def _check_class(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            name, registered_name = config["class_name"], config["registered_name"]
    except UNREADABLE as error:
        raise ValueError(
            f"{path}: expected a .keras model file, but it cannot be read as one"
        ) from error
    # Keras looks a class up by its registered name first, whatever else is written.
    if registered_name != REGISTERED_NAME:
        raise ValueError(f"{path}: expected a PoseEstimator, got a {name}")

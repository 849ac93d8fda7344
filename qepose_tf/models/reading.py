"""Reads model files without executing code in them."""

import json
import warnings
import zipfile
import zlib
from pathlib import Path

import keras

from qepose_tf.models.pose_model import REGISTERED_NAMES, PoseModel
from qepose_tf.presets import PRESETS, preset_of

# The errors of zipfile, json, h5py and Keras for files that they cannot read.
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


def load_model(path: str | Path) -> PoseModel:
    """Reads a `.keras` file that holds a `PoseEstimator` or a `DEKR`, or a preset.

    Args:
        path: The file; or the name of a preset, such as `people`, where no file has
            that name.

    Returns:
        The model, with its skeleton, input size and normalisation.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a model, holds another class, or was written by a
            version with other settings.

    Example:
        >>> model = load_model("best.keras")  # doctest: +SKIP
    """
    preset = preset_of(path)
    path = preset.file if preset else Path(path)
    if not path.is_file():
        presets = "" if path.suffix else f" or one of: {', '.join(PRESETS)}"
        raise FileNotFoundError(
            f"{path}: expected a .keras model file{presets}, found none"
        )
    _check_class(path)
    try:
        with warnings.catch_warnings():
            # Keras only warns if it does not find the weights of a layer, and leaves
            # them random.
            warnings.simplefilter("error", UserWarning)
            # safe_mode refuses files with code in them.
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except UNREADABLE as error:
        # Keras prints a page about the config before the error itself.
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
    # Keras looks up a class by its registered name before all other names.
    if registered_name not in REGISTERED_NAMES:
        raise ValueError(f"{path}: expected a PoseEstimator or a DEKR, got a {name}")

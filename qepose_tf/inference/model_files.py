"""Any file that is a model: `.keras`, a preset's name, or what was exported."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qepose_tf.inference.detections import ImageDetector
from qepose_tf.inference.exported_files import format_of
from qepose_tf.inference.exported_model import ExportedModel
from qepose_tf.presets import preset_of

if TYPE_CHECKING:
    from qepose_tf.models import PoseModel


def is_model(word: str) -> bool:
    """Whether a word names a model, and not a picture, a folder of them or a pattern.

    Args:
        word: Ends in `.keras`, names an exported file or folder, or is a preset that no
            file or folder is named like.
    """
    if preset_of(word) and not Path(word).exists():
        return True
    return Path(word).suffix == ".keras" or format_of(word) is not None


def is_exported(model: str | Path) -> bool:
    """Whether a name is that of an exported file, and not of a preset.

    Args:
        model: A path, or the name of a preset.
    """
    return format_of(model) is not None and not preset_of(model)


def read_model(model: Any) -> "PoseModel | ExportedModel":
    """Reads a model of any kind; what is a model already is returned.

    Args:
        model: A `PoseEstimator` or `DEKR`, an `ExportedModel`, the path of a `.keras`
            file or of what `qepose export` wrote, or the name of a preset.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a model of this package.
        ImportError: The runtime of an exported file is not installed.

    Example:
        >>> read_model("people").input_size  # doctest: +SKIP
        384
    """
    if not isinstance(model, str | Path):
        return model
    if is_exported(model):
        return ExportedModel(model)
    # Keras imports TensorFlow, which exported files must not need.
    from qepose_tf.models import load_model

    return load_model(model)


def detector_of(
    model: Any, *, short_side: int | None = None, **protocol: Any
) -> ImageDetector:
    """What finds people with a model by the test-time protocol that is asked for.

    Args:
        model: A `PoseEstimator`, a `DEKR` or an `ExportedModel`.
        short_side: Of the images, where it is not the model's.
        **protocol: The options of `Detector`.

    Raises:
        ValueError: An option is out of range, or an exported file cannot do it.
    """
    if isinstance(model, ExportedModel):
        model.check_protocol(short_side=short_side, **protocol)
        return model
    from qepose_tf.inference.detector import Detector

    return Detector(model, **protocol)

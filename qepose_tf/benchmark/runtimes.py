"""Chooses the runtimes that are timed, and their files."""

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from qepose_tf.exporting.checks.comparison import Comparison, Detections, compare
from qepose_tf.exporting.checks.reference import keras_any_size, keras_fixed_size
from qepose_tf.exporting.exporter import FORMATS, Exporter, every_file
from qepose_tf.exporting.formats.saved_model import version_folder

TENSORFLOW, ALL = "tensorflow", "all"
# The package that runs or writes a format, and the extra that installs it.
_PACKAGES = {"onnx": ("onnxruntime", "onnx"), "openvino": ("openvino", "openvino")}
_WRITERS = {
    ("onnx", "fp32"): ("tf2onnx", "onnx"),
    ("tflite", "dynamic"): ("ai_edge_quantizer", "litert"),
    ("tflite", "int8"): ("ai_edge_quantizer", "litert"),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class File:
    """An exported model that is timed.

    Attributes:
        format: A key of `FORMATS`.
        precision: A precision of the format.
        path: The file or folder, which may not be written yet.
    """

    format: str
    precision: str
    path: Path

    @property
    def name(self) -> str:
        """The name in tables and messages."""
        return f"{self.format} {self.precision}"


def check_names(runtimes: Sequence[str], precisions: Sequence[str]) -> None:
    """Checks the names of runtimes and precisions.

    Args:
        runtimes: Keys of `FORMATS`, `tensorflow` or `all`.
        precisions: The names of precisions.

    Raises:
        ValueError: A runtime does not exist, or has none of the precisions.
    """
    for runtime in runtimes:
        if runtime not in (TENSORFLOW, ALL, *FORMATS):
            known = ", ".join((TENSORFLOW, *FORMATS, ALL))
            raise ValueError(f"expected a runtime of {known}, got {runtime!r}")
    known = {format: FORMATS[format].precisions for format in _formats(runtimes)}
    for precision in precisions:
        if not any(precision in some for some in known.values()):
            every = dict.fromkeys(itertools.chain(*known.values()))
            raise ValueError(
                f"{', '.join(known) or TENSORFLOW}: expected a precision of "
                f"{', '.join(every) or 'fp32'}, got {precision!r}"
            )
    for format, some in known.items():
        if precisions and not set(precisions) & set(some):
            raise ValueError(
                f"{format}: expected a precision of {', '.join(some)}, "
                f"got {', '.join(precisions)}"
            )


def chosen_files(
    runtimes: Sequence[str],
    precisions: Sequence[str],
    folder: Path,
    written: bool,
    calibrated: bool,
) -> list[File]:
    """Returns the files that are timed, each once.

    With the runtime `all`, a warning names the runtimes that are not installed.

    Args:
        runtimes: Keys of `FORMATS`, `tensorflow` or `all`.
        precisions: The precisions that are timed. If there are none, fp32, or every
            precision with the runtime `all`.
        folder: The folder of the files.
        written: Whether the files exist; otherwise they will be exported.
        calibrated: Whether there are calibration images for `int8`.

    Raises:
        ValueError: `int8` has no calibration images.
        ImportError: A package of a runtime is not installed.
        FileNotFoundError: A file does not exist.
    """
    every, asked = ALL in runtimes, _formats(runtimes)
    wanted = precisions or (None if every else ("fp32",))
    files = []
    for format, precision, path in every_file(folder):
        if format not in asked or (wanted and precision not in wanted):
            continue
        missing = _missing(format, precision, written)
        if missing and not every:
            raise ImportError(missing)
        if missing:
            logger.warning("left out: %s", missing)
            continue
        path = version_folder(path) if format == "saved_model" else path
        if written and not path.exists():
            raise FileNotFoundError(
                f"{path}: expected what `qepose export --format all` writes, found none"
            )
        if precision == "int8" and not (written or calibrated):
            raise ValueError(
                "int8: expected images to calibrate with (--images), got none"
            )
        files.append(File(format, precision, path))
    return files


class References:
    """The detections of the Keras model, with which other runtimes are compared.

    Args:
        exporter: The exporter of the model.
        images: `[H, W, 3]` uint8 images for the comparison.

    Attributes:
        batches: The batches, `[B, H, W, 3]` uint8, in the input size of the files.
    """

    def __init__(self, exporter: Exporter, images: Sequence[np.ndarray]) -> None:
        self._exporter = exporter
        self._found: dict[bool, list[Detections]] = {}
        self.batches = list(exporter.framed(images))

    def __repr__(self) -> str:
        return f"<References on {len(self.batches)} batches of {self._exporter!r}>"

    def compare(self, format: str, found: Sequence[Detections]) -> Comparison:
        """Compares the detections of a runtime on `batches` with those of Keras.

        Args:
            format: A key of `FORMATS`, or `tensorflow`.
            found: The detections of the runtime, by batch.
        """
        fixed = format == TENSORFLOW or FORMATS[format].fixed
        if fixed not in self._found:
            detector = keras_fixed_size if fixed else keras_any_size
            run = detector(self._exporter.model, self._exporter.traced)
            self._found[fixed] = [run(batch) for batch in self.batches]
        return compare(self._found[fixed], found)


def _formats(runtimes: Sequence[str]) -> list[str]:
    return [name for name in FORMATS if ALL in runtimes or name in runtimes]


def _missing(format: str, precision: str, written: bool) -> str | None:
    """Returns a message about a package that is not installed, or None."""
    needed = [_PACKAGES.get(format)]
    needed += [None if written else _WRITERS.get((format, precision))]
    for package, extra in filter(None, needed):
        if find_spec(package) is None:
            return (
                f"{format} {precision}: {package} is not installed: "
                f"pip install 'qepose-tf[{extra}]'"
            )
    return None


def installed_versions() -> dict[str, str]:
    """Returns the versions of the runtimes' packages that are installed."""
    return dict(_versions())


def _versions() -> Iterator[tuple[str, str]]:
    from importlib.metadata import PackageNotFoundError, version

    names = "tensorflow keras numpy ai-edge-litert onnxruntime openvino torch timm"
    for name in names.split():
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue

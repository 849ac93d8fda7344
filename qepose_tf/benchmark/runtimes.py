"""Which runtimes are timed, and the files that they take."""

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
# What runs or, where nothing is at hand, writes a format, and the extra it comes with.
_PACKAGES = {"onnx": ("onnxruntime", "onnx"), "openvino": ("openvino", "openvino")}
_WRITERS = {
    ("onnx", "fp32"): ("tf2onnx", "onnx"),
    ("tflite", "dynamic"): ("ai_edge_quantizer", "litert"),
    ("tflite", "int8"): ("ai_edge_quantizer", "litert"),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class File:
    """An exported model to be timed.

    Attributes:
        format: a key of `FORMATS`.
        precision: one of the format's.
        path: of the file or folder; before it is written, where it will be.
    """

    format: str
    precision: str
    path: Path

    @property
    def name(self) -> str:
        """In tables and messages."""
        return f"{self.format} {self.precision}"


def check_names(runtimes: Sequence[str], precisions: Sequence[str]) -> None:
    """Raises `ValueError` where a runtime or its precision does not exist."""
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
    """The files that are asked for, once each.

    With the runtime `all`, what is not installed is left out, with a warning.

    Args:
        runtimes: keys of `FORMATS`, `tensorflow` or `all`; see `check_names`.
        precisions: that are wanted of each runtime; empty for fp32, and for every one
            where the runtime is `all`.
        folder: of the files.
        written: whether they are there, or else will be exported.
        calibrated: whether there are images for `int8`.

    Raises:
        ValueError: `int8` has no images.
        ImportError: what a runtime needs is not installed.
        FileNotFoundError: a file is not there.
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
    """The Keras model's own answers on frames, for formats of fixed and of any size.

    Args:
        exporter: of the model.
        images: `[H, W, 3]` uint8 to compare on.

    Attributes:
        batches: uint8 `[B, H, W, 3]` as the files take them.
    """

    def __init__(self, exporter: Exporter, images: Sequence[np.ndarray]) -> None:
        self._exporter = exporter
        self._found: dict[bool, list[Detections]] = {}
        self.batches = list(exporter.framed(images))

    def compare(self, format: str, found: Sequence[Detections]) -> Comparison:
        """How far a runtime's answers on `batches` are from Keras'.

        Args:
            format: a key of `FORMATS`, or `tensorflow`.
            found: the runtime's answers.
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
    """Says what is not installed, if anything is."""
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
    """Of what computes, as far as it is installed."""
    return dict(_versions())


def _versions() -> Iterator[tuple[str, str]]:
    from importlib.metadata import PackageNotFoundError, version

    names = "tensorflow keras numpy ai-edge-litert onnxruntime openvino torch timm"
    for name in names.split():
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue

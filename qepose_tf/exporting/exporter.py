"""Every export format behind one call: written, run in its own runtime, compared."""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.exporting import pose_json as metadata
from qepose_tf.exporting.checks.clean_process import waiting_process
from qepose_tf.exporting.checks.comparison import Comparison, compare
from qepose_tf.exporting.checks.reference import (
    keras_any_size,
    keras_fixed_size,
    traced,
)
from qepose_tf.exporting.formats.fixed_graph import check_sides, write_fixed_graph
from qepose_tf.exporting.formats.native_logs import native_logs_hidden
from qepose_tf.exporting.formats.saved_model import (
    MARKER,
    version_folder,
    write_saved_model,
)
from qepose_tf.exporting.served_graph import float32_model
from qepose_tf.files.whole_files import check_free, written_whole
from qepose_tf.images.decoding import read_image
from qepose_tf.images.drawn_image import made_image
from qepose_tf.images.finding import find_images
from qepose_tf.images.letterbox import fit_inside, inside_scale
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.models.reading import load_model


@dataclass(frozen=True)
class Format:
    """One row of `FORMATS`.

    Attributes:
        precisions: that it can be written in.
        fixed: whether the size of its images is chosen at export.
        marker: file that tells an earlier export, where the format is a folder.
    """

    precisions: tuple[str, ...]
    fixed: bool = True
    marker: str | None = None


FORMATS = {
    "saved_model": Format(("fp32",), fixed=False, marker=MARKER),
    "tflite": Format(("fp32", "fp16", "dynamic", "int8")),
    "onnx": Format(("fp32",)),
    "openvino": Format(("fp32", "fp16", "bf16"), marker="pose.xml"),
}

Judge = Callable[[str, str, Path], None]
_SUFFIXES = {".tflite": "tflite", ".onnx": "onnx", "": "saved_model"}
# Enough to know the range of every activation; more only cost time.
_CALIBRATION_IMAGES = 128


def check_format(format: str, precision: str) -> None:
    """Raises `ValueError` where there is no such format or it has no such precision."""
    if format not in FORMATS:
        raise ValueError(f"expected a format of {', '.join(FORMATS)}, got {format!r}")
    known = FORMATS[format].precisions
    if precision not in known:
        raise ValueError(
            f"{format}: expected a precision of {', '.join(known)}, got {precision!r}"
        )


def check_request(
    format: str, precision: str, path: Path, overwrite: bool, calibrated: bool
) -> Path:
    """Raises what `Exporter.write` would before any work, and returns where it writes.

    Args:
        format: a key of `FORMATS`.
        precision: one of the format's.
        path: that is asked for.
        overwrite: whether an earlier export there may be replaced.
        calibrated: whether there are images to calibrate with.
    """
    check_format(format, precision)
    if precision == "int8" and not calibrated:
        raise ValueError(
            "int8: expected images to calibrate with (--calibrate), got none"
        )
    if format == "saved_model":
        path = version_folder(path)
    check_free(path, overwrite, FORMATS[format].marker)
    return path


def every_file(folder: Path) -> list[tuple[str, str, Path]]:
    """Format, precision and path of all that can be written, in one folder."""
    suffixes = {"tflite": ".tflite", "onnx": ".onnx"}
    return [
        (name, precision, folder / f"{name}_{precision}{suffixes.get(name, '')}")
        if len(row.precisions) > 1
        else (name, precision, folder / f"{name}{suffixes.get(name, '')}")
        for name, row in FORMATS.items()
        for precision in row.precisions
    ]


class Exporter(contextlib.AbstractContextManager):
    """A model on its way into files; what several of them share is made once.

    A context manager: it keeps converted graphs in a temporary folder.

    Args:
        model: a model, or the path of a `.keras` file.
        height: of the images of fixed-size formats, a multiple of 32; the model's
            input size by default.
        width: as `height`.
        batch: images at once of fixed-size formats.
        images: `[H, W, 3]` uint8 to compare on; made ones by default.
        calibration: `[H, W, 3]` uint8 images that tell the ranges of `int8`.

    Raises:
        ValueError: a side is no multiple of 32.
    """

    def __init__(
        self,
        model: PoseEstimator | str | Path,
        *,
        height: int | None = None,
        width: int | None = None,
        batch: int = 1,
        images: Iterable[np.ndarray] | None = None,
        calibration: Iterable[np.ndarray] = (),
    ) -> None:
        if not isinstance(model, PoseEstimator):
            model = load_model(model)
        self.model = float32_model(model)
        self.height = height or model.input_size
        self.width = width or model.input_size
        self.batch = batch
        check_sides(self.height, self.width, batch)
        self._images = None if images is None else list(images)
        self._calibration = list(calibration)
        self._folder = tempfile.TemporaryDirectory()

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def write(
        self,
        format: str,
        path: str | Path,
        precision: str = "fp32",
        *,
        overwrite: bool = False,
        judge: Judge | None = None,
    ) -> Comparison:
        """Writes one file or folder, runs it and compares its poses with the model's.

        Args:
            format: a key of `FORMATS`.
            path: to write: a file, or a folder; a SavedModel's is `path/1`, or `path`
                itself where it ends in a number.
            precision: one of the format's.
            overwrite: whether an earlier export there is replaced.
            judge: is called with format, precision and what was written; where it
                raises, nothing stays.

        Returns:
            How far the exported model is from the Keras model.

        Raises:
            FileExistsError: the path exists and may not be replaced.
            ValueError: there is no such format or precision, `int8` has no images, the
                format cannot express the model, or what was written does not give the
                model's poses; nothing is left at the path then.
        """
        calibrated = bool(self._calibration)
        path = check_request(format, precision, Path(path), overwrite, calibrated)
        marker = FORMATS[format].marker
        with (
            waiting_process(format) as run,
            written_whole(path, overwrite, marker) as written,
        ):
            with native_logs_hidden():
                self._write(format, precision, written)
                fixed = FORMATS[format].fixed
                answers = self._fixed_answers if fixed else self._any_size_answers
            batches, expected = answers
            comparison = compare(expected, run(written, batches).detections)
            comparison.check(f"{path.name} ({format}, {precision})", precision)
            if judge is not None:
                judge(format, precision, written)
        return comparison

    def framed(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Images in frames of the fixed size, batch by batch.

        Args:
            images: `[H, W, 3]` uint8.

        Yields:
            `[batch, height, width, 3]` uint8; the last repeats its last image.
        """
        fill = metadata.fill_colour(self.model)
        frames = (fit_inside(i, self.height, self.width, fill)[0] for i in images)
        while some := list(itertools.islice(frames, self.batch)):
            yield np.stack(some + some[-1:] * (self.batch - len(some)))

    def frame_scale(self, height: int, width: int) -> np.ndarray:
        """The scale `[2]` (x, y) that `framed` brings an image to its frame by."""
        return inside_scale(height, width, self.height, self.width)[1]

    def _write(self, format: str, precision: str, path: Path) -> None:
        if format == "saved_model":
            write_saved_model(self.model, path)
            return
        described = metadata.describe(
            self.model, precision, self.height, self.width, self.batch
        )
        if format == "tflite":
            from qepose_tf.exporting.formats.tflite import write_tflite

            calibration = None
            if precision == "int8":
                calibration = list(self.framed(self._calibration))
            write_tflite(self._fixed_graph, path, described, precision, calibration)
        elif format == "onnx":
            from qepose_tf.exporting.formats.onnx import write_onnx

            write_onnx(self._fixed_graph, path, described)
        else:
            from qepose_tf.exporting.formats.openvino import write_openvino

            write_openvino(self._fixed_graph, path, described, precision)

    @cached_property
    def _fixed_graph(self) -> Path:
        folder = Path(self._folder.name) / "fixed_graph"
        write_fixed_graph(self.model, folder, self.height, self.width, self.batch)
        return folder

    @cached_property
    def traced(self) -> Callable:
        """The Keras model as a graph: run eagerly, it keeps every layer's output."""
        return traced(self.model)

    @cached_property
    def _fixed_answers(self) -> tuple[list[np.ndarray], list]:
        images = self._images
        if images is None:
            seeds = range(2 * self.batch)
            images = [made_image(self.height, self.width, seed) for seed in seeds]
        batches = list(self.framed(images))
        run = keras_fixed_size(self.model, self.traced)
        return batches, [run(batch) for batch in batches]

    @cached_property
    def _any_size_answers(self) -> tuple[list[np.ndarray], list]:
        if self._images is None:
            batches = _made_batches(self.model.input_size)
        else:
            batches = [image[None] for image in self._images]
        run = keras_any_size(self.model, self.traced)
        return batches, [run(batch) for batch in batches]


def export(
    model: PoseEstimator | str | Path,
    path: str | Path,
    *,
    format: str | None = None,
    precision: str = "fp32",
    calibration: str | Path | Iterable[np.ndarray] = (),
    overwrite: bool = False,
    **settings: Any,
) -> Comparison:
    """Writes a model in one format, and compares it with the Keras model.

    Args:
        model: A model, or the path of a `.keras` file.
        path: File or folder to write.
        format: `saved_model`, `tflite`, `onnx` or `openvino`; by default what the
            path's suffix says, `.tflite` or `.onnx`, and a SavedModel without suffix.
        precision: Of the format: `fp32`, `fp16`, `bf16`, `dynamic` or `int8`.
        calibration: For int8: a folder or pattern of images, or `[H, W, 3]` uint8
            arrays.
        overwrite: Whether an earlier export may be replaced.
        **settings: Of `Exporter`: height, width, batch, images.

    Returns:
        How far the file's poses are from the Keras model's.

    Raises:
        ValueError: No such format or precision, int8 without calibration, or the file
            does not give the model's poses.
        FileExistsError: The path exists and may not be overwritten.

    Example:
        >>> export(model, "pose.tflite", precision="fp16")  # doctest: +SKIP
    """
    path = Path(path)
    if format is None:
        format = _SUFFIXES.get(path.suffix.lower())
        if format is None:
            raise ValueError(
                f"{path}: expected a name that ends in .tflite or .onnx, a folder "
                "without suffix for a SavedModel, or a format"
            )
    check_format(format, precision)
    if isinstance(calibration, str | Path):
        files = find_images(calibration)[:_CALIBRATION_IMAGES]
        calibration = [read_image(file, exif=True) for file in files]
    with Exporter(model, calibration=calibration, **settings) as exporter:
        return exporter.write(format, path, precision, overwrite=overwrite)


def _made_batches(side: int) -> list[np.ndarray]:
    """A batch at the network's own size, and an image that must be resized."""
    own = [made_image(side, side + side // 4, seed) for seed in (0, 1)]
    return [np.stack(own), made_image(side + side // 8, side - side // 8, 2)[None]]

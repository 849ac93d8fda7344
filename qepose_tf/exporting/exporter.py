"""Exports models, runs each file in its own runtime and compares its poses."""

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
from qepose_tf.exporting.formats.saved_model import (
    MARKER,
    version_folder,
    write_saved_model,
)
from qepose_tf.exporting.served_graph import float32_model
from qepose_tf.files.whole_files import check_free, written_whole
from qepose_tf.images.drawn_image import made_image
from qepose_tf.images.finding import find_images
from qepose_tf.images.letterbox import fit_inside, inside_scale
from qepose_tf.images.readable import readable_images
from qepose_tf.inference.native_logs import native_logs_hidden
from qepose_tf.models.pose_model import PoseModel
from qepose_tf.models.reading import load_model


@dataclass(frozen=True)
class Format:
    """The properties of an export format.

    Attributes:
        precisions: The precisions that the format can be written in.
        fixed: Whether the size of the images is fixed at export.
        marker: If the format is a folder, the file that shows that the folder holds an
            earlier export. None if the format is a file.
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
# So many images show the range of every activation; more of them only take time.
_CALIBRATION_IMAGES = 128


def check_format(format: str, precision: str) -> None:
    """Raises an error if a format or its precision does not exist.

    Raises:
        ValueError: There is no such format, or it has no such precision.
    """
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
    """Checks the arguments of `Exporter.write` before any work is done.

    Args:
        format: A key of `FORMATS`.
        precision: A precision of the format.
        path: The file or folder to write.
        overwrite: Whether an earlier export may be replaced.
        calibrated: Whether there are calibration images.

    Returns:
        The path that `Exporter.write` writes to.

    Raises:
        FileExistsError: The path exists and may not be replaced.
        ValueError: There is no such format or precision, or `int8` has no images.
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
    """Returns format, precision and path of every file that `folder` may hold."""
    suffixes = {"tflite": ".tflite", "onnx": ".onnx"}
    return [
        (name, precision, folder / f"{name}_{precision}{suffixes.get(name, '')}")
        if len(row.precisions) > 1
        else (name, precision, folder / f"{name}{suffixes.get(name, '')}")
        for name, row in FORMATS.items()
        for precision in row.precisions
    ]


class Exporter(contextlib.AbstractContextManager):
    """Exports a model to several files, and makes what they share only once.

    It is a context manager, for converted graphs are kept in a temporary folder.

    Args:
        model: A `PoseEstimator` or `DEKR`, or the path of a `.keras` file.
        height: The height of the images of fixed-size formats in px, a multiple of 32;
            by default the model's input size.
        width: The width of these images, likewise.
        batch: The number of images in a batch of fixed-size formats.
        images: `[H, W, 3]` uint8 images for the comparison; by default made ones.
        calibration: `[H, W, 3]` uint8 images that show the ranges of the activations,
            for `int8`.

    Raises:
        ValueError: A side is not a multiple of 32, or the batch is empty.

    Example:
        >>> with Exporter(model) as exporter:  # doctest: +SKIP
        ...     exporter.write("tflite", "pose.tflite", "fp16")
        ...     exporter.write("onnx", "pose.onnx")
    """

    def __init__(
        self,
        model: PoseModel | str | Path,
        *,
        height: int | None = None,
        width: int | None = None,
        batch: int = 1,
        images: Iterable[np.ndarray] | None = None,
        calibration: Iterable[np.ndarray] = (),
    ) -> None:
        if not isinstance(model, PoseModel):
            model = load_model(model)
        self.model = float32_model(model)
        self.height = height or model.input_size
        self.width = width or model.input_size
        self.batch = batch
        check_sides(self.height, self.width, batch)
        self._images = None if images is None else list(images)
        self._calibration = list(calibration)
        self._folder = tempfile.TemporaryDirectory()

    def __repr__(self) -> str:
        size = f"{self.height}x{self.width} px"
        return f"<Exporter of {self.model!r}: {size}, batch {self.batch}>"

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
            format: A key of `FORMATS`.
            path: The file or folder to write. A SavedModel is written to `path/1`, or
                to `path` itself if its name is a number.
            precision: A precision of the format.
            overwrite: Whether an earlier export is replaced.
            judge: A function of format, precision and path that checks the file before
                it gets its name. If it raises an error, no file is left.

        Returns:
            The differences between the exported model and the Keras model.

        Raises:
            FileExistsError: The path exists and may not be replaced.
            ValueError: There is no such format or precision, `int8` has no images, the
                format cannot express the model, or the file does not give the model's
                poses. No file is left.
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
        """Letterboxes images to the fixed size and batches them.

        Args:
            images: `[H, W, 3]` uint8 images of any sizes.

        Yields:
            `[batch, height, width, 3]` uint8. If the images do not fill the last batch,
            its last image is repeated.
        """
        fill = metadata.fill_colour(self.model)
        frames = (fit_inside(i, self.height, self.width, fill)[0] for i in images)
        while some := list(itertools.islice(frames, self.batch)):
            yield np.stack(some + some[-1:] * (self.batch - len(some)))

    def frame_scale(self, height: int, width: int) -> np.ndarray:
        """Returns the scale `[2]` (x, y) that `framed` resizes an image by."""
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
        """The Keras model as a graph, which takes less memory than eager execution."""
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
    model: PoseModel | str | Path,
    path: str | Path,
    *,
    format: str | None = None,
    precision: str = "fp32",
    calibration: str | Path | Iterable[np.ndarray] = (),
    overwrite: bool = False,
    **settings: Any,
) -> Comparison:
    """Exports a model to one file or folder and compares it with the Keras model.

    Args:
        model: A `PoseEstimator` or `DEKR`, or the path of a `.keras` file.
        path: The file or folder to write.
        format: `saved_model`, `tflite`, `onnx` or `openvino`. By default, the suffix of
            the path decides: `.tflite`, `.onnx`, or none for a SavedModel.
        precision: `fp32`, `fp16`, `bf16`, `dynamic` or `int8`, if the format has it.
        calibration: Images that `int8` is calibrated with: a folder, a glob, or
            `[H, W, 3]` uint8 arrays.
        overwrite: Whether an earlier export is replaced.
        **settings: `height`, `width`, `batch` and `images`, see `Exporter`.

    Returns:
        The differences between the poses of the file and of the Keras model.

    Raises:
        FileExistsError: The path exists and may not be replaced.
        ValueError: There is no such format or precision, `int8` has no images, or the
            file does not give the model's poses.

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
        found = readable_images(find_images(calibration), _CALIBRATION_IMAGES)
        calibration = list(found.values())
    with Exporter(model, calibration=calibration, **settings) as exporter:
        return exporter.write(format, path, precision, overwrite=overwrite)


def _made_batches(side: int) -> list[np.ndarray]:
    """Returns a batch whose images keep their size and one that has to be resized."""
    own = [made_image(side, side + side // 4, seed) for seed in (0, 1)]
    return [np.stack(own), made_image(side + side // 8, side - side // 8, 2)[None]]

"""Measures the accuracy of exported files on annotated images."""

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.data.coco.pictures import read_record_image, readable_records
from qepose_tf.data.coco.results import coco_results
from qepose_tf.evaluation.evaluate import coco_metrics
from qepose_tf.exporting.checks.clean_process import Answers, run_exported
from qepose_tf.exporting.checks.comparison import Detections, compare
from qepose_tf.exporting.checks.reference import keras_any_size, keras_fixed_size
from qepose_tf.exporting.exporter import FORMATS, Exporter
from qepose_tf.images.letterbox import original_points

logger = logging.getLogger(__name__)

# The AP that a file of each precision may lose, compared with the Keras model.
MAX_AP_LOSS = {
    "fp32": 0.001,
    "fp16": 0.005,
    "bf16": 0.01,
    "dynamic": 0.01,
    "int8": 0.02,
}


@dataclass(frozen=True)
class Row:
    """One row of the table of exported files.

    Attributes:
        format: The format of the file, or `keras`.
        precision: The precision of the file.
        megabytes: The size on disk in MB, or None for Keras.
        max_pose_difference_px: The largest distance of a keypoint from Keras' at equal
            cells, in px.
        median_pose_difference_px: The median of these distances, in px.
        ap: The COCO AP of the poses.
        ap_change: `ap` minus the AP of the Keras model on the same pixels.
        latency_ms: The median time of a call with one batch, in ms.
        verdict: `passed`, `failed` or, for Keras, `reference`.
    """

    format: str
    precision: str
    megabytes: float | None
    max_pose_difference_px: float
    median_pose_difference_px: float
    ap: float
    ap_change: float
    latency_ms: float
    verdict: str


class Judge:
    """Measures the AP of exported files; an argument of `Exporter.write`.

    Args:
        exporter: The exporter that writes the files. Its model is the reference.
        coco: The annotated images.
        max_ap_loss: The AP that a file may lose. With None, `MAX_AP_LOSS` of its
            precision.

    Attributes:
        rows: The rows of the table, one for each file and each kind of reference.

    Raises:
        ValueError: No person is labelled in these images.
    """

    def __init__(
        self, exporter: Exporter, coco: CocoDataset, max_ap_loss: float | None = None
    ) -> None:
        self.rows: list[Row] = []
        # Every file is asked about the same pictures, so broken ones go before.
        coco = replace(coco, records=readable_records(coco.records))
        self._exporter, self._coco = exporter, coco
        self._max_ap_loss = max_ap_loss
        self._references: dict[bool, tuple[list[Detections], float]] = {}
        if not any(len(record.area) for record in coco.records):
            raise ValueError(f"{coco.path}: expected people with keypoints, got none")

    def __repr__(self) -> str:
        return f"<Judge on {len(self._coco.records)} images, {len(self.rows)} rows>"

    def __call__(self, format: str, precision: str, path: Path) -> None:
        """Measures a file and adds its row.

        Args:
            format: The format of the file, a key of `FORMATS`.
            precision: The precision of the file.
            path: The file or folder.

        Raises:
            ValueError: The file loses more AP than it may.
        """
        fixed = FORMATS[format].fixed
        expected, expected_ap = self._reference(fixed)
        answers = run_exported(format, path, self._batches(fixed))
        ap = self._ap(answers.detections, fixed)
        loss, most = expected_ap - ap, self._max_ap_loss
        most = MAX_AP_LOSS[precision] if most is None else most
        comparison = compare(expected, answers.detections)
        self.rows.append(
            Row(
                format,
                precision,
                megabytes(path),
                comparison.max_pose_difference_px,
                comparison.median_pose_difference_px,
                ap,
                -loss,
                answers.latency_seconds * 1000,
                "passed" if loss <= most else "failed",
            )
        )
        if not loss <= most:
            raise ValueError(
                f"{format} {precision} loses {loss:.3f} AP ({expected_ap:.3f} to "
                f"{ap:.3f}), more than {most:g}: not written (--max-ap-loss)"
            )

    def _reference(self, fixed: bool) -> tuple[list[Detections], float]:
        """Returns the detections and the AP of the Keras model on the same pixels."""
        if fixed not in self._references:
            model = self._exporter.model
            detector = keras_fixed_size if fixed else keras_any_size
            run = detector(model, self._exporter.traced)
            found, seconds = [], []
            for images in self._batches(fixed):
                started = time.perf_counter()
                found.append(run(images))
                seconds.append(time.perf_counter() - started)
            ap = self._ap(found, fixed)
            latency = Answers(found, seconds).latency_seconds * 1000
            name = "keras, fixed size" if fixed else "keras"
            self._references[fixed] = found, ap
            self.rows.append(
                Row(name, "fp32", None, 0.0, 0.0, ap, 0.0, latency, "reference")
            )
        return self._references[fixed]

    def _batches(self, fixed: bool) -> Iterator[np.ndarray]:
        if fixed:
            return self._exporter.framed(self._images())
        return (image[None] for image in self._images())

    def _images(self) -> Iterator[np.ndarray]:
        return map(read_record_image, self._coco.records)

    def _ap(self, found: Iterable[Detections], fixed: bool) -> float:
        records = self._coco.records
        poses, scores, keypoint_scores = (
            np.concatenate([rows[name] for rows in found])[: len(records)]
            for name in ("poses", "scores", "keypoint_scores")
        )
        if fixed:
            sides = [(record.height, record.width) for record in records]
            scale = np.stack([self._exporter.frame_scale(*hw) for hw in sides])
            poses = original_points(poses, scale[:, None, None, :])
        image, row = np.nonzero(scores > 0)
        image_ids = np.array([record.image_id for record in records], np.int64)
        results = coco_results(
            image_ids[image].tolist(),
            poses[image, row],
            scores[image, row],
            keypoint_scores[image, row],
            self._coco.category_id,
        )
        return coco_metrics(self._coco, results, explained=False)["AP"]


def megabytes(path: Path) -> float:
    """Returns the size of a file, or of all files in a folder, in MB."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6

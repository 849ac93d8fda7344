"""People in plain sight whom a model finds and nobody labelled."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from qepose_tf.data.coco.dataset import ImageRecord
from qepose_tf.data.coco.ignore_regions import rasterise
from qepose_tf.data.coco.pictures import read_record_image
from qepose_tf.doctor.finding import Finding
from qepose_tf.doctor.pictures import Seen
from qepose_tf.inference.people import ImagePoses
from qepose_tf.inference.predictor import Predictor

_SURE = 0.5  # the score is the expected OKS: surely a person
_COVERED = 0.5  # share of a found pose's keypoints on labelled people: not a new one
_MARGIN = 0.1  # of a labelled person's extent, on each side
_GRID = 64  # cells that the ignored regions of a picture are drawn on


def unlabelled_people(
    records: Sequence[ImageRecord],
    seen: Sequence[Seen],
    model: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Runs a model over the pictures and compares its people with the labelled ones.

    The model may have other keypoints than the data set: people are compared by where
    they are, not by their keypoints.

    Args:
        records: Of the pictures.
        seen: One look at each; what cannot be read is left out.
        model: As `Predictor` takes it.
        progress: Told how many pictures are done, and of how many.

    Raises:
        OSError: There is no such model.
        ValueError: It is no model.
    """
    predictor = Predictor(model, min_score=_SURE)
    rows = [row for row, picture in enumerate(seen) if not picture.trouble]
    findings = []
    pixels = (read_record_image(records[row]) for row in rows)
    pictures = predictor.predict(pixels) if rows else ()
    for done, (row, found) in enumerate(zip(rows, pictures, strict=True), start=1):
        findings += new_people(row, records[row], found)
        if progress is not None:
            progress(done, len(rows))
    return findings


def new_people(row: int, record: ImageRecord, found: ImagePoses) -> list[Finding]:
    """Those of the found people whom nobody labelled.

    Args:
        row: Of the picture.
        record: Of the picture.
        found: The people that a model found in it.
    """
    covered = _covered(record, found.poses)
    known = "" if record.everyone_labelled else "; not taught as background here"
    return [
        Finding(
            *("unlabelled_person", row, f"the model's score is {score:.2f}{known}"),
            *(float(score), (), (), pose),
        )
        for pose, score, share in zip(found.poses, found.scores, covered, strict=True)
        if share < _COVERED
    ]


def _covered(record: ImageRecord, poses: np.ndarray) -> np.ndarray:
    """The share of each pose's keypoints on labelled people or ignored regions."""
    low, high = _extents(record)
    points = poses[:, :, None]  # [P, K, 1, 2]
    inside = ((points >= low) & (points <= high)).all(axis=-1)  # [P, K, M]
    # On one person: two who stand side by side may both be labelled, and a third not.
    on_person = inside.mean(axis=1).max(axis=-1, initial=0)
    size = (record.height, record.width)
    mask = rasterise(list(record.ignore), size, (_GRID, _GRID))
    cells = (poses[..., ::-1] / size * _GRID).astype(np.int64).clip(0, _GRID - 1)
    return np.maximum(on_person, mask[cells[..., 0], cells[..., 1]].mean(axis=-1))


def _extents(record: ImageRecord) -> tuple[np.ndarray, np.ndarray]:
    """Corners `[M, 2]` of labelled people: box and keypoints, and a margin."""
    points = record.keypoints[..., :2].astype(np.float64)
    labelled = (record.keypoints[..., 2] > 0)[..., None]
    low = np.where(labelled, points, np.inf).min(axis=1)
    high = np.where(labelled, points, -np.inf).max(axis=1)
    corner, size = record.boxes[:, :2], record.boxes[:, 2:]
    boxed = (size > 0).all(axis=-1, keepdims=True)
    low = np.where(boxed, np.minimum(low, corner), low)
    high = np.where(boxed, np.maximum(high, corner + size), high)
    margin = _MARGIN * (high - low)
    return low - margin, high + margin

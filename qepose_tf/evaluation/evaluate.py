"""Predictions -> COCO results -> the ten COCO keypoint figures.

The figures are pycocotools' own (`COCOeval`, type "keypoints", at most 20
detections per image), with the sigmas of the skeleton in place of COCO's 17.
Around it stand only what files in the wild need (images listed twice, fields left
out) and honest answers where pycocotools fails: no detections at all is 0.
"""

import contextlib
import io
import json
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.data.batches.example import read_record_picture
from qepose_tf.data.coco.annotations import MAX_AREA
from qepose_tf.data.coco.dataset import CocoDataset, ImageRecord
from qepose_tf.data.coco.results import coco_results
from qepose_tf.evaluation.coco_evaluator import coco_evaluator
from qepose_tf.evaluation.crowd_index import crowd_precision
from qepose_tf.evaluation.score_quality import score_oks_rank_correlation
from qepose_tf.files.whole_files import write_file
from qepose_tf.images.letterbox import capped_short_side
from qepose_tf.inference.detector import Detector
from qepose_tf.inference.loop import PoseLoop
from qepose_tf.ops.geometry import fit_short_side

logger = logging.getLogger(__name__)

FIGURES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """What a model scored on a dataset.

    Attributes:
        metrics: the ten COCO figures by name, see `coco_metrics`.
        results: the detections, COCO keypoint results.
        score_oks_rank_correlation: see `score_oks_rank_correlation`.
    """

    metrics: dict[str, float]
    results: list[dict[str, Any]]
    score_oks_rank_correlation: float

    @property
    def AP(self) -> float:  # noqa: N802
        """COCO's average precision over OKS 0.5 to 0.95, the first of the figures."""
        return self.metrics["AP"]

    def to_dict(self) -> dict[str, float | None]:
        """Returns the figures by name, ready for JSON.

        The rank correlation is None where it is undefined: with fewer than two
        detections, or with the same score for all of them.
        """
        rank = self.score_oks_rank_correlation
        return self.metrics | {
            "score_oks_rank_correlation": None if math.isnan(rank) else rank
        }

    def __str__(self) -> str:
        figures = self.to_dict()
        width = max(map(len, figures))
        return "\n".join(
            f"{name:<{width}}  " + ("-" if value is None else f"{value:.3f}")
            for name, value in figures.items()
        )


def evaluate(
    model: Any,
    coco: CocoDataset,
    batch_size: int = 8,
    *,
    min_area: float = 0.0,
    min_score: float = 0.0,
    progress: Progress | None = None,
    explained: bool = True,
    **protocol: Any,
) -> Evaluation:
    """Runs a `PoseEstimator` on the images of a dataset and scores its poses.

    Only the images in `coco.records` count, so a reader's `limit` is honoured.
    The other arguments are those of `predict_coco` and `coco_metrics`.
    """
    if model.skeleton.num_keypoints != coco.skeleton.num_keypoints:
        raise ValueError(
            f"{coco.path}: expected annotations of {model.skeleton.num_keypoints} "
            f"keypoints ({model.skeleton.name}) as the model predicts, "
            f"got {coco.skeleton.num_keypoints} ({coco.skeleton.name})"
        )
    results = predict_coco(
        model, coco, batch_size, min_score=min_score, progress=progress, **protocol
    )
    return Evaluation(
        metrics=coco_metrics(coco, results, min_area=min_area, explained=explained),
        results=results,
        score_oks_rank_correlation=score_oks_rank_correlation(
            coco, results, min_area=min_area
        ),
    )


def predict_coco(
    model: Any,
    coco: CocoDataset,
    batch_size: int = 8,
    *,
    min_score: float = 0.0,
    progress: Progress | None = None,
    **protocol: Any,
) -> list[dict[str, Any]]:
    """Detects the people on every image of a dataset.

    Args:
        model: a `PoseEstimator`; its input size and normalisation are used.
        coco: the dataset; EXIF orientation is ignored, as COCO's labels do.
        batch_size: images of one padded shape that run together; fewer at a scale
            above 1.
        min_score: only detections that score higher are kept.
        progress: called with (images done, images in all) after each image.
        **protocol: of `Detector`: flip, scales, nms_distance, max_detections and
            score_threshold.

    Returns:
        COCO keypoint results, the poses in pixels of the original images.
    """
    loop = PoseLoop(Detector(model, **protocol), model.input_size, batch_size)
    records = _by_shape(coco, model.input_size)
    pictures = ((record, partial(_pixels, record)) for record in records)
    results: list[dict[str, Any]] = []
    unreadable = 0
    for done, found in enumerate(loop(pictures), start=1):
        if progress is not None:
            progress(done, len(records))
        if found.error is not None:
            unreadable += 1
            logger.warning(
                "%s; it gets no poses (%d left out so far)", found.error, unreadable
            )
            continue
        poses, scores, keypoint_scores = (rows[0] for rows in found.people)
        kept = np.flatnonzero(scores > min_score)
        results += coco_results(
            [found.key.image_id] * len(kept),
            poses[kept],
            scores[kept],
            keypoint_scores[kept],
            coco.category_id,
        )
    return results


def _by_shape(coco: CocoDataset, short_side: int) -> list[ImageRecord]:
    """Records of one padded shape side by side, so that their batches are full."""

    def shape(record: ImageRecord) -> tuple[int, int]:
        hw = record.height, record.width
        return fit_short_side(*hw, capped_short_side(*hw, short_side))[1]

    return sorted(coco.records, key=shape)


def _pixels(record: ImageRecord) -> np.ndarray:
    return np.asarray(read_record_picture(record))


def coco_metrics(
    coco: CocoDataset,
    results: Sequence[dict[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
    min_area: float = 0.0,
    explained: bool = True,
) -> dict[str, float]:
    """The ten figures of COCO keypoints, by name (`FIGURES`).

    Where images carry CrowdPose's `crowdIndex`, `AP_easy`, `AP_medium` and `AP_hard`
    follow, see `qepose_tf.evaluation.crowd_index`.

    With `min_area` > 0 the range "all" becomes [min_area, 1e10] px^2 of the original
    image, with the meaning pycocotools gives every range: a smaller person is
    ignored (no miss, and a detection that matches only this person is no false
    positive), and so is an unmatched detection whose keypoints span a box of less
    than `min_area`. APM, APL, ARM and ARL keep COCO's ranges. A single keypoint
    spans no box: with K = 1 no range above 0 counts a false positive, so the
    figures of those ranges read high; a warning says so for `min_area`.

    Args:
        coco: the data set whose people are looked for. People, areas and ignored
            regions are those of training. Keypoints outside their image count, too,
            as in pycocotools.
        results: COCO keypoint results; the 20 best of each image count.
        image_ids: only these images count; all of them by default.
        min_area: the smallest person that counts, in px^2.
        explained: whether log lines name the ranges that hold no person.

    Returns:
        The figures in [0, 1]; -1 where a range holds no person (a log line names it).

    Raises:
        ValueError: the results do not fit the data set, or `image_ids` names images
            that are not in its records.
    """
    evaluator = coco_evaluator(coco, results, image_ids=image_ids)
    evaluator.params.areaRng[0] = [min_area, MAX_AREA]
    if min_area > 0 and coco.skeleton.num_keypoints == 1:
        logger.warning(
            "one keypoint spans no box, so min_area=%g ignores every detection that "
            "matches nobody: AP reads high",
            min_area,
        )
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    metrics = dict(zip(FIGURES, map(float, evaluator.stats), strict=True))
    for figure, people in (
        ("AP", f"person of at least {min_area:g} px^2"),
        ("APM", "person of medium size (32^2 to 96^2 px)"),
        ("APL", "person of large size (from 96^2 px)"),
    ):
        if metrics[figure] < 0 and explained:
            logger.info(
                "%s and %s are -1: no %s is labelled in these images",
                figure,
                figure.replace("AP", "AR"),
                people,
            )
    return metrics | crowd_precision(evaluator, str(coco.path))


def write_results(results: Sequence[dict[str, Any]], path: str | Path) -> None:
    """Writes COCO results as JSON; the file is there completely or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(list(results)))

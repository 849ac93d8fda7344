"""From predictions to COCO results and to the ten COCO keypoint metrics.

The metrics are those of pycocotools (`COCOeval`, type "keypoints", at most 20
detections per image), with the sigmas of the skeleton in place of COCO's 17. Where
pycocotools fails because there are no detections, the metrics are 0.
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

from qepose_tf.data.coco.dataset import CocoDataset, ImageRecord
from qepose_tf.data.coco.person_area import MAX_AREA
from qepose_tf.data.coco.pictures import read_record_image
from qepose_tf.data.coco.results import coco_results
from qepose_tf.evaluation.coco_evaluator import coco_evaluator
from qepose_tf.evaluation.crowd_index import crowd_precision
from qepose_tf.evaluation.score_quality import score_oks_rank_correlation
from qepose_tf.files.whole_files import write_file
from qepose_tf.images.letterbox import capped_short_side
from qepose_tf.inference.loop import PoseLoop
from qepose_tf.inference.model_files import detector_of
from qepose_tf.ops.geometry import fit_short_side

logger = logging.getLogger(__name__)

FIGURES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model on a data set; printed, it is a table.

    Attributes:
        metrics: The ten COCO keypoint metrics by name, see `coco_metrics`.
        results: The detections as COCO keypoint results, in px of the original images.
        score_oks_rank_correlation: Spearman's rank correlation of scores and OKS, -1 to
            1, see `qepose_tf.evaluation.score_quality.score_oks_rank_correlation`.

    Example:
        >>> found = Evaluation({"AP": 0.5}, [], 0.25)
        >>> print(found)
        AP                          0.500
        score_oks_rank_correlation  0.250
        >>> found
        <Evaluation AP 0.500, 0 detections>
    """

    metrics: dict[str, float]
    results: list[dict[str, Any]]
    score_oks_rank_correlation: float

    @property
    def AP(self) -> float:  # noqa: N802
        """COCO's average precision, the mean over OKS thresholds 0.5 to 0.95."""
        return self.metrics["AP"]

    def to_dict(self) -> dict[str, float | None]:
        """Returns the metrics by name, ready for JSON.

        The rank correlation is None where it is undefined: with fewer than two
        detections, or with the same score for all of them.
        """
        rank = self.score_oks_rank_correlation
        return self.metrics | {
            "score_oks_rank_correlation": None if math.isnan(rank) else rank
        }

    def __repr__(self) -> str:
        return f"<Evaluation AP {self.AP:.3f}, {len(self.results)} detections>"

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
    """Runs a model on the images of a data set and scores its poses.

    Args:
        model: A `PoseEstimator`, or an `ExportedModel`.
        coco: The data set, see `read_coco`.
        batch_size: The number of images that run together.
        min_area: The area of the smallest person that counts, in px^2.
        min_score: Only detections with a higher score are kept.
        progress: A function of (images done, all images), called after each image.
        explained: Whether the log says why a metric is -1.
        **protocol: `flip`, `scales`, `nms_distance`, `max_detections` and
            `score_threshold`, see `qepose_tf.inference.detector.Detector`.

    Returns:
        The metrics and the detections.

    Raises:
        ValueError: The skeletons of model and data set have different numbers of
            keypoints, or an option is out of its range.

    Example:
        >>> val = read_coco("val.json", "val/")  # doctest: +SKIP
        >>> print(evaluate(model, val, flip=True).AP)  # doctest: +SKIP
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
    """Detects the people in every image of a data set.

    An image that cannot be read has no detections, and a warning names it.

    Args:
        model: A `PoseEstimator`, or an `ExportedModel`.
        coco: The data set. Each image is turned as it was annotated.
        batch_size: The number of images of one padded shape that run together; fewer
            run together at a scale above 1.
        min_score: Only detections with a higher score are kept.
        progress: A function of (images done, all images), called after each image.
        **protocol: The options of `evaluate`.

    Returns:
        COCO keypoint results, with poses in px of the original images.
    """
    loop = PoseLoop(detector_of(model, **protocol), model.input_size, batch_size)
    records = _by_shape(coco, model.input_size)
    pictures = ((record, partial(read_record_image, record)) for record in records)
    results: list[dict[str, Any]] = []
    unreadable = 0
    for done, found in enumerate(loop(pictures), start=1):
        if progress is not None:
            progress(done, len(records))
        if found.people is None:
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
    """Sorts records by their padded shape, so that their batches are full."""

    def shape(record: ImageRecord) -> tuple[int, int]:
        hw = record.height, record.width
        return fit_short_side(*hw, capped_short_side(*hw, short_side))[1]

    return sorted(coco.records, key=shape)


def coco_metrics(
    coco: CocoDataset,
    results: Sequence[dict[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
    min_area: float = 0.0,
    explained: bool = True,
) -> dict[str, float]:
    """Computes the ten COCO keypoint metrics.

    If images have CrowdPose's `crowdIndex`, `AP_easy`, `AP_medium` and `AP_hard` are
    computed, too, see `qepose_tf.evaluation.crowd_index`.

    With `min_area` > 0 the area range "all" becomes [min_area, 1e10] px^2 of the
    original image. As in every area range of pycocotools, a smaller person is ignored:
    it is not a miss, and a detection that matches only this person is not a false
    positive. A detection without a match is ignored, too, if its keypoints span a box
    of less than `min_area`. APM, APL, ARM and ARL keep COCO's ranges. As a single
    keypoint spans no box, skeletons of one keypoint have no false positives in any
    range above 0, and the metrics of these ranges are too high. A warning says so for
    `min_area`.

    Args:
        coco: The data set with the ground truth. People, areas and ignored regions are
            the same as in training. Keypoints outside the image count, as in
            pycocotools.
        results: COCO keypoint results. The 20 of the highest score in each image count.
        image_ids: The ids of the images that count; all images by default.
        min_area: The area of the smallest person that counts, in px^2.
        explained: Whether the log names the area ranges without people.

    Returns:
        The metrics by name (`FIGURES`) in [0, 1], or -1 if no person is in the range.

    Raises:
        ValueError: The results do not fit the data set, or `image_ids` has ids that
            are not in its records.
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
    """Writes COCO results as a JSON file, completely or not at all.

    Args:
        results: The COCO keypoint results.
        path: The file. Its folder is made if it does not exist.

    Raises:
        OSError: The file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(list(results)))

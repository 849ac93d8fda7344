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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.data.batches.evaluation import eval_dataset
from qepose_tf.data.coco.annotations import MAX_AREA
from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.data.coco.results import coco_results
from qepose_tf.evaluation.coco_evaluator import coco_evaluator
from qepose_tf.evaluation.crowd_index import crowd_precision
from qepose_tf.evaluation.score_quality import score_oks_rank_correlation
from qepose_tf.files.whole_files import write_file
from qepose_tf.images.letterbox import original_points
from qepose_tf.inference.detector import Detections, Detector

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


def evaluate(
    model: Any,
    coco: CocoDataset,
    batch_size: int = 8,
    *,
    min_area: float = 0.0,
    min_score: float = 0.0,
    progress: Progress | None = None,
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
        metrics=coco_metrics(coco, results, min_area=min_area),
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
        progress: called with (images done, images in all) after each batch.
        **protocol: of `Detector`: flip, scales, nms_distance, max_detections and
            score_threshold.

    Returns:
        COCO keypoint results, the poses in pixels of the original images.
    """
    detector = Detector(model, **protocol)
    results: list[dict[str, Any]] = []
    for image_ids, found in _detections(detector, coco, batch_size, progress):
        rows, columns = np.nonzero(found.scores > min_score)
        results += coco_results(
            image_ids[rows],
            found.poses[rows, columns],
            found.scores[rows, columns],
            found.keypoint_scores[rows, columns],
            coco.category_id,
        )
    return results


def _detections(
    detector: Detector, coco: CocoDataset, batch_size: int, progress: Progress | None
) -> Iterator[tuple[np.ndarray, Detections]]:
    """Image ids and who was found there, in original pixels, all scales merged."""
    model, scales = detector.model, len(detector.scales)
    sides = detector.short_sides(model.input_size)
    kept: list[list[tuple[np.ndarray, ...]]] = []  # scale by scale, batches
    done = 0
    for side, size in zip(sides, detector.batch_sizes(batch_size), strict=True):
        kept.append([])
        for batch in eval_dataset(
            coco, input_size=side, batch_size=size, fill=model.mean
        ):
            poses, *scores = detector.detect(batch["image"])
            poses = original_points(poses, batch["scale"].numpy()[:, None, None, :])
            image_ids = batch["image_id"].numpy()
            if scales == 1:
                yield image_ids, Detections(poses, *scores)
            else:
                kept[-1].append((image_ids, poses, *scores))
            done += len(poses)
            if progress is not None:
                progress(done // scales, len(coco.records))
    if scales == 1 or not kept[0]:
        return
    # Scales have batches of their own, so images are put into one order.
    image_ids, *columns = zip(*(_in_order(batches) for batches in kept), strict=True)
    for first in range(0, len(image_ids[0]), batch_size):
        rows = slice(first, first + batch_size)
        by_scale = zip(*columns, strict=True)  # of each scale its three columns
        views = [Detections(*(part[rows] for part in scale)) for scale in by_scale]
        yield image_ids[0][rows], detector.merge(views)


def _in_order(batches: list[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    """Batches joined, by rising image id, which is their first column."""
    columns = [np.concatenate(column) for column in zip(*batches, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return [column[order] for column in columns]


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

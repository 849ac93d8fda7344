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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from pycocotools.cocoeval import COCOeval

from qepose_tf.data.coco import CocoDataset, coco_results
from qepose_tf.data.ground_truth import (
    detections,
    ground_truth,
    keypoint_category,
    load_annotations,
)
from qepose_tf.data.letterbox import original_points
from qepose_tf.data.pipeline import eval_dataset
from qepose_tf.output_files import write_file

logger = logging.getLogger(__name__)

FIGURES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
MAX_DETECTIONS = 20
MAX_AREA = 1e10  # pycocotools' upper bound of every area range
IGNORED_OKS = 0.5  # from here on a detection counts as one of an ignored region

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
        model, coco, batch_size, min_score=min_score, progress=progress
    )
    scope = {
        "image_ids": [record.image_id for record in coco.records],
        "min_area": min_area,
        "category_id": coco.category_id,
    }
    sigmas = coco.skeleton.sigmas
    return Evaluation(
        metrics=coco_metrics(coco.path, results, sigmas, **scope),
        results=results,
        score_oks_rank_correlation=score_oks_rank_correlation(
            coco.path, results, sigmas, **scope
        ),
    )


def predict_coco(
    model: Any,
    coco: CocoDataset,
    batch_size: int = 8,
    *,
    min_score: float = 0.0,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Detects the people on every image of a dataset.

    Args:
        model: a `PoseEstimator`; its input size and normalisation are used.
        coco: the dataset; EXIF orientation is ignored, as COCO's labels do.
        batch_size: images of one padded shape that run together.
        min_score: only detections that score higher are kept.
        progress: called with (images done, images in all) after each batch.

    Returns:
        COCO keypoint results, the poses in pixels of the original images.
    """
    images = eval_dataset(
        coco,
        input_size=model.input_size,
        batch_size=batch_size,
        mean=model.mean,
        std=model.std,
    )

    # One trace for every shape: tracing W32 costs more than many batches do.
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
    def detect(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        outputs = model(batch, training=False)
        return outputs["poses"], outputs["scores"], outputs["keypoint_scores"]

    results: list[dict[str, Any]] = []
    done = 0
    for batch in images:
        poses, scores, keypoint_scores = (x.numpy() for x in detect(batch["image"]))
        poses = original_points(poses, batch["scale"].numpy()[:, None, None, :])
        image_ids = batch["image_id"].numpy()
        rows, columns = np.nonzero(scores > min_score)
        results += coco_results(
            image_ids[rows],
            poses[rows, columns],
            scores[rows, columns],
            keypoint_scores[rows, columns],
            coco.category_id,
        )
        done += len(image_ids)
        if progress is not None:
            progress(done, len(coco.records))
    return results


def coco_metrics(
    annotations: str | Path | dict[str, Any],
    results: Sequence[dict[str, Any]],
    sigmas: Sequence[float],
    *,
    image_ids: Iterable[int] | None = None,
    min_area: float = 0.0,
    category_id: int | None = None,
) -> dict[str, float]:
    """The ten figures of COCO keypoints, by name (`FIGURES`).

    With `min_area` > 0 the range "all" becomes [min_area, 1e10] px^2 of the original
    image, with the meaning pycocotools gives every range: a smaller person is
    ignored (no miss, and a detection that matches only this person is no false
    positive), and so is an unmatched detection whose keypoints span a box of less
    than `min_area`. APM, APL, ARM and ARL keep COCO's ranges. A single keypoint
    spans no box: with K = 1 no range above 0 counts a false positive, so the
    figures of those ranges read high; a warning says so for `min_area`.

    Args:
        annotations: COCO keypoint ground truth, a path or the loaded JSON (which is
            not changed).
        results: COCO keypoint results; the 20 best of each image count.
        sigmas: [K], of the skeleton.
        image_ids: only these images count; all of them by default.
        min_area: the smallest person that counts, in px^2.
        category_id: by default the one category that has keypoints ("person"
            where there are several).

    Returns:
        The figures in [0, 1]; -1 where a range holds no person (a log line names it).

    Raises:
        ValueError: the annotations are not COCO keypoints of K, the results do
            not fit them, or `image_ids` names images that are not there.
    """
    evaluator = _evaluator(annotations, results, sigmas, image_ids, category_id)
    evaluator.params.areaRng[0] = [min_area, MAX_AREA]
    if min_area > 0 and len(sigmas) == 1:
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
        if metrics[figure] < 0:
            logger.info(
                "%s and %s are -1: no %s is labelled in these images",
                figure,
                figure.replace("AP", "AR"),
                people,
            )
    return metrics


def score_oks_rank_correlation(
    annotations: str | Path | dict[str, Any],
    results: Sequence[dict[str, Any]],
    sigmas: Sequence[float],
    *,
    image_ids: Iterable[int] | None = None,
    min_area: float = 0.0,
    category_id: int | None = None,
) -> float:
    """Spearman's rank correlation of the detections' scores and their OKS.

    A detection's OKS is the best over the image's people with labelled keypoints
    that are no crowd and have at least `min_area`. A detection that meets nobody
    has OKS 0 and counts: to rank it last is what a score is for. Left out, as COCO
    does, is a detection whose best match (OKS of 0.5 or more) is an ignored region:
    a crowd, a person without labelled keypoints, one smaller than `min_area`.

    Returns:
        -1 to 1; NaN where it is undefined (fewer than two detections, or all of one
        score or of one OKS).
    """
    evaluator = _evaluator(annotations, results, sigmas, image_ids, category_id)
    params = evaluator.params
    params.maxDets = [max(len(results), 1)]
    # pycocotools also matches, once per range and threshold; the OKS is all we need.
    params.areaRng, params.iouThrs = [[0, MAX_AREA]], np.array([0.5])
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
    scores, best_oks = [], []
    for image_id in params.imgIds:
        key = (image_id, params.catIds[0])
        found = evaluator._dts[key]
        if not found:
            continue
        people = evaluator._gts[key]
        ignored = np.array(
            [bool(p["ignore"]) or p["area"] < min_area for p in people], bool
        )
        # rows are in the order of falling score, as computeOks sorts them
        oks = np.asarray(evaluator.ious[key]).reshape(len(found), len(people))
        labelled = oks[:, ~ignored].max(axis=1, initial=0.0)
        elsewhere = oks[:, ignored].max(axis=1, initial=0.0)
        counts = ~((elsewhere >= IGNORED_OKS) & (elsewhere > labelled))
        ordered = np.sort([detection["score"] for detection in found])[::-1]
        scores.append(ordered[counts])
        best_oks.append(labelled[counts])
    if not scores:
        return float("nan")
    return _spearman(np.concatenate(scores), np.concatenate(best_oks))


def write_results(results: Sequence[dict[str, Any]], path: str | Path) -> None:
    """Writes COCO results as JSON; the file is there completely or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(list(results)))


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    ranks = [_ranks(first), _ranks(second)]
    if len(first) < 2 or any(np.ptp(r) == 0 for r in ranks):
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _evaluator(
    annotations: str | Path | dict[str, Any],
    results: Sequence[dict[str, Any]],
    sigmas: Sequence[float],
    image_ids: Iterable[int] | None,
    category_id: int | None,
) -> COCOeval:
    source, loaded = load_annotations(annotations)
    category_id = keypoint_category(loaded, category_id, len(sigmas), source)
    truth = ground_truth(loaded, category_id, len(sigmas), source)
    known = set(truth.imgs)
    chosen = known if image_ids is None else {int(i) for i in image_ids}
    if not chosen:
        # pycocotools would read an empty choice as "all images".
        raise ValueError(f"{source}: expected at least one image to evaluate, got none")
    if not chosen <= known:
        raise ValueError(
            f"{source}: expected ids of its images, got {sorted(chosen - known)[:5]}"
        )
    found = detections(truth, results, category_id, len(sigmas), source)
    evaluator = COCOeval(truth, found, "keypoints")
    evaluator.params.imgIds = sorted(chosen)
    evaluator.params.catIds = [category_id]
    evaluator.params.maxDets = [MAX_DETECTIONS]
    evaluator.params.kpt_oks_sigmas = np.asarray(sigmas, float)
    return evaluator

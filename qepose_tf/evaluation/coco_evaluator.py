"""pycocotools' evaluator of keypoints, set up for a data set and a choice of images."""

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from qepose_tf.data.coco.annotations import MAX_AREA
from qepose_tf.data.coco.dataset import CocoDataset

MAX_DETECTIONS = 20


def coco_evaluator(
    coco: CocoDataset,
    results: Sequence[dict[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
) -> COCOeval:
    """An evaluator with ground truth and detections loaded; nothing has run yet.

    The id of a detection is its place in `results`, counted from 1. The arguments
    and errors are those of `qepose_tf.evaluation.evaluate.coco_metrics`.
    """
    known = {record.image_id for record in coco.records}
    chosen = known if image_ids is None else {int(i) for i in image_ids}
    if not chosen:
        # pycocotools would read an empty choice as "all images".
        raise ValueError(
            f"{coco.path}: expected at least one image to evaluate, got none"
        )
    if not chosen <= known:
        raise ValueError(
            f"{coco.path}: expected ids of its images, got {sorted(chosen - known)[:5]}"
        )
    truth = _indexed(coco.ground_truth)
    found = detections(truth, results, coco)
    evaluator = COCOeval(truth, found, "keypoints")
    evaluator.params.imgIds = sorted(chosen)
    evaluator.params.catIds = [coco.category_id]
    evaluator.params.areaRng[0] = [0, MAX_AREA]
    evaluator.params.maxDets = [MAX_DETECTIONS]
    evaluator.params.kpt_oks_sigmas = np.asarray(coco.skeleton.sigmas, float)
    return evaluator


def detections(
    truth: COCO, results: Sequence[dict[str, Any]], coco: CocoDataset
) -> COCO:
    """COCO keypoint results, indexed; an empty list is fine.

    Raises:
        ValueError: a result names an unknown image, has another number of keypoints,
            or holds NaN or infinity.
    """
    unknown = {result["image_id"] for result in results} - set(truth.imgs)
    if unknown:
        raise ValueError(
            f"{coco.path}: expected detections on its images only, "
            f"got image ids {sorted(unknown)[:5]}"
        )
    numbers = 3 * coco.skeleton.num_keypoints
    found = []
    for result in results:
        keypoints = np.asarray(result["keypoints"], float).reshape(-1)
        if len(keypoints) != numbers:
            raise ValueError(
                f"results, image {result['image_id']}: expected {numbers} "
                f"numbers in keypoints, got {len(keypoints)}"
            )
        if not (np.isfinite(keypoints).all() and np.isfinite(result["score"])):
            raise ValueError(
                f"results, image {result['image_id']}: expected finite keypoints and "
                "score, got NaN or infinity"
            )
        low = keypoints.reshape(-1, 3)[:, :2].min(axis=0)
        size = keypoints.reshape(-1, 3)[:, :2].max(axis=0) - low
        # What COCO.loadRes adds; that call fails where there are no results.
        found.append(
            {
                "image_id": result["image_id"],
                "category_id": result["category_id"],
                "keypoints": keypoints.tolist(),
                "score": float(result["score"]),
                "bbox": [*low, *size],
                "area": float(size[0] * size[1]),
                "id": len(found) + 1,
            }
        )
    return _indexed({**truth.dataset, "annotations": found})


def _indexed(content: dict[str, Any]) -> COCO:
    coco = COCO()
    # pycocotools writes its marks into the annotations.
    annotations = [dict(annotation) for annotation in content["annotations"]]
    coco.dataset = {**content, "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco

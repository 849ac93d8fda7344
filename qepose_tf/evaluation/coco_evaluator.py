"""Sets up the keypoint evaluator of pycocotools for a data set."""

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.data.coco.person_area import MAX_AREA

MAX_DETECTIONS = 20


def coco_evaluator(
    coco: CocoDataset,
    results: Sequence[dict[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
) -> COCOeval:
    """Returns an evaluator with the ground truth and the detections, not yet run.

    Args:
        coco: The data set with the ground truth.
        results: COCO keypoint results. The id of a detection becomes its index in this
            sequence, counted from 1.
        image_ids: The ids of the images that count; all images by default.

    Raises:
        ValueError: No image is chosen, `image_ids` has unknown ids, or the results do
            not fit the data set (see `detections`).
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
    """Returns COCO keypoint results in pycocotools' form; there may be none.

    Args:
        truth: The ground truth in pycocotools' form.
        results: The COCO keypoint results.
        coco: The data set, for its skeleton and its name in messages.

    Raises:
        ValueError: A result has an unknown image id, another number of keypoints than
            the skeleton, or NaN or infinity among its numbers.
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
        # The box and area that COCO.loadRes adds; it fails if there are no results.
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
    # pycocotools adds entries to the annotations, so it gets copies.
    annotations = [dict(annotation) for annotation in content["annotations"]]
    coco.dataset = {**content, "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco

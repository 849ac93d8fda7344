"""pycocotools' evaluator of keypoints, set up for a skeleton and a choice of images."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from qepose_tf.evaluation.ground_truth import (
    detections,
    ground_truth,
    keypoint_category,
    load_annotations,
)
from qepose_tf.files.locations import Location

MAX_DETECTIONS = 20
MAX_AREA = 1e10  # pycocotools' upper bound of every area range


def coco_evaluator(
    annotations: Location | dict[str, Any],
    results: Sequence[dict[str, Any]],
    sigmas: Sequence[float],
    *,
    image_ids: Iterable[int] | None = None,
    category_id: int | None = None,
) -> COCOeval:
    """An evaluator with ground truth and detections loaded; nothing has run yet.

    The id of a detection is its place in `results`, counted from 1. The arguments
    and errors are those of `qepose_tf.evaluation.evaluate.coco_metrics`.
    """
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

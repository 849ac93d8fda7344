"""AP on the easy, medium and hard images of CrowdPose, by their crowd index.

The `crowdIndex` of an image, from 0 to 1, compares how many keypoints in a person's box
belong to other people with how many are the person's own. CrowdPose's tables call the
three metrics AP_E, AP_M and AP_H; their names are spelled out here, because COCO's APM
is the AP of people of medium size.

The limits are those of CrowdPose's own evaluator (`crowdposetools`, and `xtcocotools`
after it), which published results come from: easy is below 0.2, hard from 0.8. The
paper gives 0.1 as the upper limit of easy.
"""

import contextlib
import copy
import io
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from qepose_tf.data.coco.ground_truth import crowd_index

logger = logging.getLogger(__name__)

EASY_BELOW = 0.2
HARD_FROM = 0.8
CROWD_FIGURES = ("AP_easy", "AP_medium", "AP_hard")


def crowd_bands(
    images: Sequence[dict[str, Any]], source: str
) -> dict[str, list[Any]] | None:
    """Groups image ids by their crowd index.

    A warning tells how many images have no crowd index if others have one.

    Args:
        images: The entries of `images` in a COCO file.
        source: The name of the file, for messages.

    Returns:
        A list of ids, which may be empty, for each name in `CROWD_FIGURES`; None if no
        image has a `crowdIndex`.

    Raises:
        ValueError: A crowd index is not a number from 0 to 1.
    """
    indices = {image["id"]: crowd_index(image, source) for image in images}
    indexed = {i: index for i, index in indices.items() if index is not None}
    if not indexed:
        return None
    if len(indexed) < len(images):
        logger.warning(
            "%s: %d of %d images have no crowdIndex; they count in AP only, not in %s",
            *(source, len(images) - len(indexed), len(images)),
            ", ".join(CROWD_FIGURES),
        )
    bands: dict[str, list[Any]] = {figure: [] for figure in CROWD_FIGURES}
    easy, medium, hard = CROWD_FIGURES
    for image_id, index in indexed.items():
        band = easy if index < EASY_BELOW else medium if index < HARD_FROM else hard
        bands[band].append(image_id)
    return bands


def crowd_precision(evaluator: COCOeval, source: str) -> dict[str, float]:
    """Computes AP separately on the easy, medium and hard images of an evaluator.

    Each group is scored by pycocotools as if it were the whole data set, as CrowdPose's
    evaluator does.

    Args:
        evaluator: A keypoint evaluator with its images, category and area ranges set.
            It is not changed. The first of its area ranges is used.
        source: The name of the annotation file, for messages.

    Returns:
        The `CROWD_FIGURES` in [0, 1], or -1 for a group without people, which the log
        names. The dict is empty if no image has a `crowdIndex`.

    Raises:
        ValueError: A crowd index is not a number from 0 to 1.
    """
    assert evaluator.cocoGt is not None  # an evaluator's constructor may leave it out
    images = [evaluator.cocoGt.imgs[i] for i in evaluator.params.imgIds]
    bands = crowd_bands(images, source)
    if bands is None:
        return {}
    figures = {band: _precision(evaluator, ids) for band, ids in bands.items()}
    for band, figure in figures.items():
        if figure < 0:
            logger.info(
                "%s is -1: nobody is labelled in its %d images", band, len(bands[band])
            )
    return figures


def _precision(evaluator: COCOeval, image_ids: list[Any]) -> float:
    if not image_ids:  # pycocotools would take an empty list for all images
        return -1.0
    band = COCOeval(evaluator.cocoGt, evaluator.cocoDt, "keypoints")
    band.params = copy.deepcopy(evaluator.params)
    band.params.imgIds = image_ids
    band.params.areaRng = evaluator.params.areaRng[:1]
    band.params.areaRngLbl = evaluator.params.areaRngLbl[:1]
    with contextlib.redirect_stdout(io.StringIO()):
        band.evaluate()
        band.accumulate()
    # Without people all entries are -1, otherwise none is.
    return float(np.asarray(band.eval["precision"]).mean())

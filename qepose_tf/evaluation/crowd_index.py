"""AP by crowd index: CrowdPose's easy, medium and hard images.

An image's `crowdIndex`, between 0 and 1, says how far its people's boxes are filled
by the joints of others. CrowdPose's tables call the three figures AP_E, AP_M and
AP_H; here they are spelled out, for COCO's APM is the AP of people of medium size.

The limits are those of CrowdPose's own evaluator (`crowdposetools`, and `xtcocotools`
after it), with which published figures are made: easy below 0.2, hard from 0.8. (Its
paper names 0.1 as the upper limit of easy.)
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
    """Image ids by the figure of `CROWD_FIGURES` that they count in.

    Args:
        images: entries of a COCO file's `images`.
        source: the file's name, for messages.

    Returns:
        A list of ids, possibly empty, for each figure; None where no image has a
        `crowdIndex`. Where only some have one, a warning says how many.

    Raises:
        ValueError: a crowd index is no number from 0 to 1.
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
    """AP of the easy, medium and hard images among those an evaluator scores.

    Each band is scored by pycocotools as if its images were all there are, which is
    how CrowdPose's evaluator does it.

    Args:
        evaluator: for keypoints, with its images, category and ranges set; it is not
            changed. The first of its area ranges is used.
        source: the annotation file's name, for messages.

    Returns:
        The `CROWD_FIGURES` in [0, 1], -1 where a band holds nobody (a log line names
        it); nothing where no image has a `crowdIndex`.

    Raises:
        ValueError: see `crowd_bands`.
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
    if not image_ids:  # pycocotools would take all images
        return -1.0
    band = COCOeval(evaluator.cocoGt, evaluator.cocoDt, "keypoints")
    band.params = copy.deepcopy(evaluator.params)
    band.params.imgIds = image_ids
    band.params.areaRng = evaluator.params.areaRng[:1]
    band.params.areaRngLbl = evaluator.params.areaRngLbl[:1]
    with contextlib.redirect_stdout(io.StringIO()):
        band.evaluate()
        band.accumulate()
    # -1 throughout where the images show nobody; no entry is -1 otherwise
    return float(np.asarray(band.eval["precision"]).mean())

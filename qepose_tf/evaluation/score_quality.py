"""Compares the score of each detection with its OKS, the quality it should predict."""

import contextlib
import copy
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.data.coco.person_area import MAX_AREA
from qepose_tf.evaluation.coco_evaluator import coco_evaluator

# A detection with at least this OKS with an ignored region is left out.
IGNORED_OKS = 0.5


@dataclass(frozen=True)
class ScoredDetections:
    """The scores and the OKS of all detections in the chosen images.

    A person counts if they have labelled keypoints, are not a crowd and have at least
    the minimal area. All other annotations are ignored regions.

    Attributes:
        ids: `[D]`, the ids of the detections in the evaluator.
        scores: `[D]`, the scores.
        oks: `[D]`, the highest OKS with any person of the image that counts, or 0 if
            there is none.
        own_oks: `[D]`, the OKS with the person that the detection is paired with.
            Detections and people are paired one to one, in the order of falling OKS.
            A detection without a partner has 0, for example the second of a person.
        judged: `[D]`, False for detections that belong to an ignored region: their OKS
            with it is at least 0.5 and higher than with any person that counts.
        people: The number of people that count.
    """

    ids: np.ndarray
    scores: np.ndarray
    oks: np.ndarray
    own_oks: np.ndarray
    judged: np.ndarray
    people: int


def scored_detections(evaluator: COCOeval, min_area: float = 0.0) -> ScoredDetections:
    """Computes the OKS of all detections of an evaluator, not only of the best 20.

    Args:
        evaluator: An evaluator of `coco_evaluator`. Its parameters are not changed.
        min_area: The area of the smallest person that counts, in px^2.

    Returns:
        The detections, image by image, in the order of falling scores.
    """
    assert evaluator.cocoDt is not None  # `coco_evaluator` loads them
    params: Any = copy.copy(evaluator.params)
    params.maxDets = [max(len(evaluator.cocoDt.anns), 1)]
    # pycocotools matches once per area range and threshold, but only the OKS is needed.
    params.areaRng, params.iouThrs = [[0, MAX_AREA]], np.array([0.5])
    before, evaluator.params = evaluator.params, params
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
    evaluator.params = before
    columns, people = zip(
        *(_of_image(evaluator, image_id, min_area) for image_id in params.imgIds),
        strict=True,
    )
    return ScoredDetections(
        *(np.concatenate(column) for column in zip(*columns, strict=True)),
        people=sum(people),
    )


def _of_image(
    evaluator: COCOeval, image_id: int, min_area: float
) -> tuple[tuple[np.ndarray, ...], int]:
    """Returns the columns of `ScoredDetections` and the people of one image."""
    key = (image_id, evaluator.params.catIds[0])
    people, found = evaluator._gts[key], evaluator._dts[key]
    ignored = np.array(
        [bool(p["ignore"]) or p["area"] < min_area for p in people], bool
    )
    oks = np.asarray(evaluator.ious[key]).reshape(len(found), len(people))
    labelled = oks[:, ~ignored].max(axis=1, initial=0.0)
    elsewhere = oks[:, ignored].max(axis=1, initial=0.0)
    # computeOks sorts its rows by falling score and keeps the order of equal scores.
    scores = np.array([detection["score"] for detection in found], float)
    order = np.argsort(-scores, kind="mergesort")
    columns = (
        np.array([detection["id"] for detection in found], int)[order],
        scores[order],
        labelled,
        _one_to_one(oks[:, ~ignored]),
        ~((elsewhere >= IGNORED_OKS) & (elsewhere > labelled)),
    )
    return columns, int((~ignored).sum())


def score_oks_rank_correlation(
    coco: CocoDataset,
    results: Sequence[dict[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
    min_area: float = 0.0,
) -> float:
    """Computes Spearman's rank correlation of the detections' scores and their OKS.

    A false positive has an OKS near 0 and counts, because a good score ranks it last.
    Detections of ignored regions are left out, as COCO does (see `ScoredDetections`).

    Args:
        coco: The data set with the ground truth.
        results: COCO keypoint results.
        image_ids: The ids of the images that count; all images by default.
        min_area: The area of the smallest person that counts, in px^2.

    Returns:
        The correlation in [-1, 1]. It is NaN for fewer than two detections, or if all
        have the same score or the same OKS.

    Raises:
        ValueError: The results do not fit the data set.
    """
    evaluator = coco_evaluator(coco, results, image_ids=image_ids)
    found = scored_detections(evaluator, min_area)
    return rank_correlation(found.scores[found.judged], found.oks[found.judged])


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Computes Spearman's correlation, that of the ranks.

    Args:
        first: `[N]` numbers. Equal numbers share the mean of their ranks.
        second: `[N]` numbers.

    Returns:
        The correlation in [-1, 1], or NaN as in `correlation`.
    """
    return correlation(_ranks(first), _ranks(second))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Computes Pearson's correlation.

    Args:
        first: `[N]` numbers.
        second: `[N]` numbers.

    Returns:
        The correlation in [-1, 1], or NaN if there are fewer than two numbers or all
        numbers of one side are equal.
    """
    if len(first) < 2 or any(np.ptp(values) == 0 for values in (first, second)):
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _one_to_one(oks: np.ndarray) -> np.ndarray:
    """Pairs detections and people by falling OKS: `[D, P]` to `[D]`, 0 if left over."""
    own = np.zeros(len(oks))
    # Rows and columns of pairs become -1, which is below every OKS.
    free = oks.copy()
    for _ in range(min(free.shape)):
        detection, person = np.unravel_index(free.argmax(), free.shape)
        own[detection] = free[detection, person]
        free[detection], free[:, person] = -1.0, -1.0
    return own


def _ranks(values: np.ndarray) -> np.ndarray:
    """Returns ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

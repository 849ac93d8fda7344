"""Each detection's score beside its quality: the OKS with a person of the image."""

import contextlib
import copy
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from qepose_tf.data.coco.annotations import MAX_AREA
from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.evaluation.coco_evaluator import coco_evaluator

IGNORED_OKS = 0.5  # from here on a detection counts as one of an ignored region


@dataclass(frozen=True)
class ScoredDetections:
    """Detections of the chosen images: what they scored and how good they are.

    Attributes:
        ids: [D], the detections' ids in the evaluator.
        scores: [D].
        oks: [D], the best OKS over the image's people with labelled keypoints that
            are no crowd and have at least the minimal area; 0 where there are none.
        own_oks: [D], the OKS with the person that is this detection's own when
            detections and people are paired one to one, the best pair first; 0 for
            a detection that is left over, such as the second one of a person.
        judged: [D], False for detections of ignored regions: their best match (OKS
            of 0.5 or more) is a crowd, a person without labelled keypoints or one
            that is too small.
        people: number of people that count.
    """

    ids: np.ndarray
    scores: np.ndarray
    oks: np.ndarray
    own_oks: np.ndarray
    judged: np.ndarray
    people: int


def scored_detections(evaluator: COCOeval, min_area: float = 0.0) -> ScoredDetections:
    """Looks up the OKS of every detection of an evaluator, not of the best 20 only.

    The evaluator's parameters stay as they are.
    """
    assert evaluator.cocoDt is not None  # `coco_evaluator` loads them
    params: Any = copy.copy(evaluator.params)
    params.maxDets = [max(len(evaluator.cocoDt.anns), 1)]
    # pycocotools also matches, once per range and threshold; the OKS is all we need.
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
    """The columns of `ScoredDetections` and the number of people of one image."""
    key = (image_id, evaluator.params.catIds[0])
    people, found = evaluator._gts[key], evaluator._dts[key]
    ignored = np.array(
        [bool(p["ignore"]) or p["area"] < min_area for p in people], bool
    )
    oks = np.asarray(evaluator.ious[key]).reshape(len(found), len(people))
    labelled = oks[:, ~ignored].max(axis=1, initial=0.0)
    elsewhere = oks[:, ignored].max(axis=1, initial=0.0)
    # computeOks sorts its rows by falling score, equal ones as they came
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
    evaluator = coco_evaluator(coco, results, image_ids=image_ids)
    found = scored_detections(evaluator, min_area)
    return rank_correlation(found.scores[found.judged], found.oks[found.judged])


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's: that of the ranks, equal values sharing the mean of theirs."""
    return correlation(_ranks(first), _ranks(second))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's; NaN for fewer than two values, or where one side is constant."""
    if len(first) < 2 or any(np.ptp(values) == 0 for values in (first, second)):
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _one_to_one(oks: np.ndarray) -> np.ndarray:
    """[D, P] -> [D]: the best pair first, then the best of those still free."""
    own = np.zeros(len(oks))
    # A copy: taken rows and columns are struck out, -1 is below every OKS.
    free = oks.copy()
    for _ in range(min(free.shape)):
        detection, person = np.unravel_index(free.argmax(), free.shape)
        own[detection] = free[detection, person]
        free[detection], free[:, person] = -1.0, -1.0
    return own


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

"""Measures how well the scores of detections predict their OKS."""

import contextlib
import io
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.data.coco.person_area import MAX_AREA
from qepose_tf.evaluation.coco_evaluator import coco_evaluator
from qepose_tf.evaluation.score_quality import (
    ScoredDetections,
    correlation,
    rank_correlation,
    scored_detections,
)

logger = logging.getLogger(__name__)

# An OKS of 0.1 is far below COCO's lowest threshold, yet chance rarely reaches it.
MATCHED_OKS = 0.1
SAMPLE = 2000  # points of the scatter plot; more of them would hide one another


@dataclass(frozen=True)
class Bin:
    """The detections whose scores lie in one interval.

    Attributes:
        low: The lower end of the interval, which belongs to it.
        high: The upper end, which belongs to the next interval; 1 belongs to the last.
        count: The number of detections.
        mean_score: The mean of their scores, or None without detections.
        mean_oks: The mean of their OKS, or None without detections.
    """

    low: float
    high: float
    count: int
    mean_score: float | None
    mean_oks: float | None


@dataclass(frozen=True)
class Calibration:
    """How well scores predict OKS. A value that is undefined is None, never NaN.

    The OKS of a detection is the highest with any person of its image, as in
    `qepose_tf.evaluation.score_quality.ScoredDetections`. Detections of ignored regions
    are left out.

    Attributes:
        detections: The number of detections.
        matched: The number of detections with an OKS above `matched_oks`.
        people: The number of people that count.
        matched_oks: The OKS above which a detection is matched with a person.
        ap: COCO AP with the scores of the detections.
        ap_oracle_ranking: COCO AP if each score is replaced by the true OKS, see
            `calibrate`.
        ap_lost_to_ranking: `ap_oracle_ranking - ap`.
        rank_correlation: Spearman's correlation of score and OKS of all detections.
        rank_correlation_matched: Spearman's correlation of the matched detections.
        pearson: Pearson's correlation of all detections.
        calibration_error: The expected calibration error: the mean over the bins of
            |mean score - mean OKS|, weighted by their counts.
        max_calibration_error: The largest |mean score - mean OKS| of a bin.
        bias: Mean score minus mean OKS, which is positive if scores are too high.
        bins: Equal intervals that cover [0, 1]. Scores outside count in the first or
            the last of them.
        sample: Pairs (score, OKS) of randomly chosen detections, for the scatter plot.
    """

    detections: int
    matched: int
    people: int
    matched_oks: float
    ap: float | None
    ap_oracle_ranking: float | None
    ap_lost_to_ranking: float | None
    rank_correlation: float | None
    rank_correlation_matched: float | None
    pearson: float | None
    calibration_error: float | None
    max_calibration_error: float | None
    bias: float | None
    bins: tuple[Bin, ...]
    sample: tuple[tuple[float, float], ...]


def calibrate(
    coco: CocoDataset,
    results: Sequence[dict[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
    min_area: float = 0.0,
    num_bins: int = 10,
    seed: int = 0,
) -> Calibration:
    """Measures how well the scores of detections predict their OKS.

    `ap_oracle_ranking` is the AP of an oracle that knows the true OKS. The people and
    detections of an image are paired one to one in the order of falling OKS, and the
    score of each detection is replaced by the OKS with its partner. A detection without
    a partner, such as the second of a person, gets 0 and stays a false positive. If no
    detection has an OKS of 0.5 or more with two people, no ranking has a higher AP. The
    highest OKS with any person would not give this bound: it would rank a good second
    pose of one person above a fair first pose of another. In crowds, the bound is not
    strict: COCO matches detections in the order of their scores, and another order may
    leave more matches. `ap_lost_to_ranking` may then be below 0.

    Args:
        coco: The data set with the ground truth.
        results: COCO keypoint results. All of them count in the correlations and bins,
            and the 20 of the highest score in each image in AP. Models should be
            compared with the same score threshold and number of detections, because
            many false positives of low score improve the mean calibration error.
        image_ids: The ids of the images that count; all images by default.
        min_area: The area of the smallest person that counts, in px^2.
        num_bins: The number of bins of the reliability curve.
        seed: The seed that `Calibration.sample` is chosen with.

    Returns:
        The measurements.

    Raises:
        ValueError: The results do not fit the data set, or `num_bins` is below 1.
    """
    if num_bins < 1:
        raise ValueError(f"num_bins: expected at least 1, got {num_bins}")
    evaluator = coco_evaluator(coco, results, image_ids=image_ids)
    found = scored_detections(evaluator, min_area)
    scores, oks = found.scores[found.judged], found.oks[found.judged]
    matched = oks > MATCHED_OKS
    bins = _bins(scores, oks, num_bins)
    ap, oracle = _ap_and_oracle(evaluator, found, min_area)
    calibration = Calibration(
        detections=len(scores),
        matched=int(matched.sum()),
        people=found.people,
        matched_oks=MATCHED_OKS,
        ap=ap,
        ap_oracle_ranking=oracle,
        ap_lost_to_ranking=None if ap is None or oracle is None else oracle - ap,
        rank_correlation=_defined(rank_correlation(scores, oks)),
        rank_correlation_matched=_defined(
            rank_correlation(scores[matched], oks[matched])
        ),
        pearson=_defined(correlation(scores, oks)),
        **_errors(bins),
        bins=bins,
        sample=_sample(scores, oks, seed),
    )
    _say_what_is_undefined(calibration)
    return calibration


def _ap_and_oracle(
    evaluator: COCOeval, found: ScoredDetections, min_area: float
) -> tuple[float | None, float | None]:
    """Returns AP with the scores and with the true OKS, which stays in `evaluator`."""
    ap = _average_precision(evaluator, min_area)
    assert evaluator.cocoDt is not None  # `coco_evaluator` loads them
    for index, own in zip(found.ids, found.own_oks, strict=True):
        evaluator.cocoDt.anns[int(index)]["score"] = float(own)
    return ap, _average_precision(evaluator, min_area)


def _average_precision(evaluator: COCOeval, min_area: float) -> float | None:
    """Returns pycocotools' AP of one area range, or None if no person is in it."""
    evaluator.params.areaRng = [[min_area, MAX_AREA]]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"])
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else None


def _bins(scores: np.ndarray, oks: np.ndarray, num_bins: int) -> tuple[Bin, ...]:
    # Division gives exactly 0.3, but linspace 0.30000000000000004, and a score of 0.3
    # would fall below that.
    edges = np.arange(num_bins + 1) / num_bins
    place = np.searchsorted(edges[1:-1], scores, side="right")
    counts = np.bincount(place, minlength=num_bins)
    totals = [np.bincount(place, v, minlength=num_bins) for v in (scores, oks)]
    mean_scores, mean_oks = (total / np.maximum(counts, 1) for total in totals)
    return tuple(
        Bin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            count=int(counts[i]),
            mean_score=float(mean_scores[i]) if counts[i] else None,
            mean_oks=float(mean_oks[i]) if counts[i] else None,
        )
        for i in range(num_bins)
    )


def _errors(bins: tuple[Bin, ...]) -> dict[str, float | None]:
    filled = [
        (entry.mean_score - entry.mean_oks, entry.count)
        for entry in bins
        if entry.mean_score is not None and entry.mean_oks is not None
    ]
    if not filled:
        return dict.fromkeys(("calibration_error", "max_calibration_error", "bias"))
    gaps = np.array([gap for gap, _ in filled])
    weights = np.array([count for _, count in filled], float)
    weights /= weights.sum()
    return {
        "calibration_error": float(weights @ abs(gaps)),
        "max_calibration_error": float(abs(gaps).max()),
        "bias": float(weights @ gaps),
    }


def _sample(
    scores: np.ndarray, oks: np.ndarray, seed: int
) -> tuple[tuple[float, float], ...]:
    chosen = np.random.default_rng(seed).permutation(len(scores))[:SAMPLE]
    points = np.stack([scores, oks], -1)[chosen].round(4)
    return tuple((score, value) for score, value in points.tolist())


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def _say_what_is_undefined(calibration: Calibration) -> None:
    names = (
        "ap",
        "ap_oracle_ranking",
        "ap_lost_to_ranking",
        "rank_correlation",
        "rank_correlation_matched",
        "pearson",
        "calibration_error",
        "max_calibration_error",
        "bias",
    )
    undefined = [name for name in names if getattr(calibration, name) is None]
    if not undefined:
        return
    reasons = []
    if not calibration.people:
        reasons.append("no person that counts is labelled in these images")
    if not calibration.detections:
        reasons.append("there are no detections")
    elif "rank_correlation_matched" in undefined:
        reasons.append(
            "a correlation needs two detections of different score and OKS, and "
            f"{calibration.matched} of {calibration.detections} met a person "
            f"(OKS > {calibration.matched_oks:g})"
        )
    logger.info("%s undefined: %s", ", ".join(undefined), "; ".join(reasons))

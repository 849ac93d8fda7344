"""How well the score tells the quality of a pose, in figures."""

import contextlib
import io
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from qepose_tf.data.coco.annotations import MAX_AREA
from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.evaluation.coco_evaluator import coco_evaluator
from qepose_tf.evaluation.score_quality import (
    ScoredDetections,
    correlation,
    rank_correlation,
    scored_detections,
)

logger = logging.getLogger(__name__)

# 0.1 is far below COCO's loosest threshold: such a pose shares nearly nothing with
# a person, and chance alone rarely reaches it.
MATCHED_OKS = 0.1
SAMPLE = 2000  # points of the scatter: more hide one another, and the file stays small


@dataclass(frozen=True)
class Bin:
    """The detections of one interval of scores.

    Attributes:
        low: where the interval starts.
        high: where it ends; a score of exactly `high` is in the next one, but 1 is
            in the last.
        count: number of detections.
        mean_score: of them; None where there are none.
        mean_oks: of them; None where there are none.
    """

    low: float
    high: float
    count: int
    mean_score: float | None
    mean_oks: float | None


@dataclass(frozen=True)
class Calibration:
    """Scores against OKS. A figure that is undefined is None, never NaN.

    The OKS of a detection is the best over the people of its image, as in
    `qepose_tf.evaluation.score_quality.ScoredDetections`; detections of ignored
    regions are left out.

    Attributes:
        detections: number of detections.
        matched: how many of them have an OKS above `matched_oks`.
        people: number of people that count.
        matched_oks: from which OKS (exclusive) a detection has met a person.
        ap: COCO AP with the scores as they are.
        ap_oracle_ranking: COCO AP with each score replaced by the true quality, see
            `calibrate`.
        ap_lost_to_ranking: `ap_oracle_ranking - ap`.
        rank_correlation: Spearman's, of all detections.
        rank_correlation_matched: Spearman's, of those that met a person.
        pearson: the linear correlation of all detections.
        calibration_error: the expected one: |mean score - mean OKS| of each bin,
            weighted by the bin's count.
        max_calibration_error: the largest |mean score - mean OKS| of a bin.
        bias: mean score - mean OKS; positive where scores promise too much.
        bins: equal intervals that cover [0, 1]; a score outside counts in the first
            or the last one.
        sample: (score, OKS) of a random choice of the detections, for the scatter.
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
    """Measures how well the scores of detections tell their OKS.

    The oracle's ranking: people and detections of an image are paired one to one,
    the pair of the highest OKS first, and a detection scores the OKS with its own
    person. One that is left over (a second one of a person, a stray) scores 0 and
    stays a false positive. Where no detection reaches an OKS of 0.5 with two people,
    no ranking has a higher AP. The best OKS with anybody would be no such bound: it
    ranks a good second pose of one person above a fair first one of another. In
    crowds the bound is not strict, because COCO gives people away in the order of
    scores and another order may leave more pairs: `ap_lost_to_ranking` may then be
    below 0, and is left so.

    Args:
        coco: the data set whose people are looked for.
        results: COCO keypoint results. All count for the correlations and bins, the
            20 best of each image for AP. Compare models at the same minimal score
            and number of detections: many low scores of strays make a mean look good.
        image_ids: only these images count; all of them by default.
        min_area: the smallest person that counts, in px^2.
        num_bins: of the reliability curve and the calibration errors.
        seed: chooses `Calibration.sample`.

    Raises:
        ValueError: as `qepose_tf.evaluation.evaluate.coco_metrics`, or no bins are
            asked for.
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
    """AP of the scores, then of the true quality, which stays in the evaluator."""
    ap = _average_precision(evaluator, min_area)
    assert evaluator.cocoDt is not None  # `coco_evaluator` loads them
    for index, own in zip(found.ids, found.own_oks, strict=True):
        evaluator.cocoDt.anns[int(index)]["score"] = float(own)
    return ap, _average_precision(evaluator, min_area)


def _average_precision(evaluator: COCOeval, min_area: float) -> float | None:
    """AP as pycocotools sums it up, of one range; None where it holds no person."""
    evaluator.params.areaRng = [[min_area, MAX_AREA]]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"])
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else None


def _bins(scores: np.ndarray, oks: np.ndarray, num_bins: int) -> tuple[Bin, ...]:
    # A division gives the floats that the edges are printed as; linspace has
    # 0.30000000000000004, and a score of 0.3 would fall below it.
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

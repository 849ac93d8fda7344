"""Figures of tracks: HOTA, IDF1 and the switches of identity.

HOTA is defined by Luiten et al., "HOTA: A Higher Order Metric for Evaluating
Multi-Object Tracking", IJCV 2021; IDF1 by Ristani et al., "Performance Measures and a
Data Set for Multi-Target, Multi-Camera Tracking", ECCV Workshops 2016; MOTA and the
switches by Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking
Performance: The CLEAR MOT Metrics", 2008.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from qepose_tf.inference.tracking.similarity import pairwise_oks

# HOTA is the mean over these least similarities of a match.
ALPHAS = np.arange(1, 20) * 0.05


@dataclass(frozen=True)
class TrackedFrame:
    """Who is in a frame, whom a tracker found there, and how alike they are.

    Attributes:
        truth: `[P]` ids of the people.
        found: `[N]` ids of the tracks; those below 0 stand for no track and are left
            out.
        similarity: `[P, N]` in [0, 1], as `oks_similarity` or `box_iou` gives it.
        video: Which video the frame is of. Ids of different videos are different.
    """

    truth: np.ndarray
    found: np.ndarray
    similarity: np.ndarray
    video: Hashable = 0


@dataclass(frozen=True)
class TrackingFigures:
    """What a tracker reached; every share is in [0, 1] but `mota`, which may be less.

    Attributes:
        idf1: The F1 of identities: tracks and people are paired one to one for the
            whole video.
        id_precision: The share of the found poses that carry their person's id.
        id_recall: The share of the people's poses that were found under their id.
        hota: The mean over `ALPHAS` of `sqrt(det_a * ass_a)` at each.
        det_a: Detection accuracy, the mean over `ALPHAS`.
        ass_a: Association accuracy, the mean over `ALPHAS`.
        loc_a: The mean similarity of matches.
        mota: 1 - (misses + false positives + switches) / people.
        id_switches: How often a person's track differs from that of the match before.
        misses: People without a match, added up over frames.
        false_positives: Found poses without a match, added up over frames.
        people: People, added up over frames.
    """

    idf1: float
    id_precision: float
    id_recall: float
    hota: float
    det_a: float
    ass_a: float
    loc_a: float
    mota: float
    id_switches: int
    misses: int
    false_positives: int
    people: int


def oks_similarity(
    keypoints: np.ndarray, areas: np.ndarray, poses: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """OKS of every labelled person with every found pose, as pycocotools computes it.

    Args:
        keypoints: `[P, K, 3]` x, y (px), v; those with `v > 0` count.
        areas: `[P]` in px^2.
        poses: `[N, K, 2]` in px; a keypoint that is not finite has similarity 0.
        sigmas: `[K]`.

    Returns:
        `[P, N]` in [0, 1].
    """
    keypoints, poses = np.asarray(keypoints, float), np.asarray(poses, float)
    labelled = np.where(keypoints[..., 2:] > 0, keypoints[..., :2], np.nan)
    far = np.where(np.isfinite(poses).all(axis=-1, keepdims=True), poses, 1e12)
    scales = np.sqrt(np.asarray(areas, float))[:, None]
    return pairwise_oks(labelled, far, scales, sigmas)


def pose_boxes(poses: np.ndarray) -> np.ndarray:
    """The box around the known keypoints of each pose.

    Args:
        poses: `[N, K, 2]` in px, at least one finite keypoint each.

    Returns:
        `[N, 4]`: x and y of the top left, x and y of the bottom right.
    """
    low, high = np.nanmin(poses, axis=1), np.nanmax(poses, axis=1)
    return np.concatenate([low, high], axis=-1)


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every box with every other.

    Args:
        first: `[P, 4]`: left, top, right, bottom.
        second: `[N, 4]`.

    Returns:
        `[P, N]` in [0, 1]; 0 where both boxes are empty.

    Example:
        >>> box_iou(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]])).round(3)
        array([[0.333]])
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1] - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)


def tracking_figures(
    frames: Iterable[TrackedFrame], min_similarity: float = 0.5
) -> TrackingFigures:
    """Computes all figures over the frames of one video or of several.

    Args:
        frames: In the order of time.
        min_similarity: Of a match, for all figures but HOTA's, which are means over
            `ALPHAS`.

    Raises:
        ValueError: A frame's ids are not unique, or its arrays do not fit each other.

    Example:
        >>> same, none = np.eye(1), np.zeros((1, 0))
        >>> frames = [TrackedFrame(np.array([1]), np.array([5]), same)] * 3
        >>> frames += [TrackedFrame(np.array([1]), np.array([]), none)]
        >>> figures = tracking_figures(frames)
        >>> round(figures.idf1, 3), figures.hota, figures.misses
        (0.857, 0.75, 1)
    """
    numbered = _numbered(frames)
    people = sum(len(truth) for truth, _, _ in numbered)
    poses = sum(len(found) for _, found, _ in numbered)
    right = _identity_matches(numbered, min_similarity)
    matches, switches = _clear_matches(numbered, min_similarity)
    misses, false_positives = people - matches, poses - matches
    errors = misses + false_positives + switches
    return TrackingFigures(
        idf1=2 * right / max(people + poses, 1),
        id_precision=right / max(poses, 1),
        id_recall=right / max(people, 1),
        **_hota(numbered),
        mota=1.0 - errors / max(people, 1),
        id_switches=switches,
        misses=misses,
        false_positives=false_positives,
        people=people,
    )


_Numbered = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def _numbered(frames: Iterable[TrackedFrame]) -> _Numbered:
    """Ids as numbers from 0 on, over all videos; poses without a track are left out."""
    truth_numbers: dict[Hashable, int] = {}
    found_numbers: dict[Hashable, int] = {}
    numbered = []
    for frame in frames:
        truth, found = np.asarray(frame.truth), np.asarray(frame.found)
        similarity = np.asarray(frame.similarity, float)
        if similarity.shape != (len(truth), len(found)):
            raise ValueError(
                f"similarity: expected [{len(truth)}, {len(found)}], as there are "
                f"{len(truth)} people and {len(found)} poses, got "
                f"{list(similarity.shape)}"
            )
        tracked = found >= 0
        found, similarity = found[tracked], similarity[:, tracked]
        for name, ids in (("truth", truth), ("found", found)):
            if len(np.unique(ids)) != len(ids):
                raise ValueError(f"{name}: expected ids that are unique, got {ids}")
        numbered.append(
            (
                _numbers(truth_numbers, frame.video, truth),
                _numbers(found_numbers, frame.video, found),
                similarity,
            )
        )
    return numbered


def _numbers(
    known: dict[Hashable, int], video: Hashable, ids: Sequence[int] | np.ndarray
) -> np.ndarray:
    return np.array([known.setdefault((video, int(i)), len(known)) for i in ids], int)


def _counts(numbered: _Numbered) -> tuple[np.ndarray, np.ndarray]:
    """In how many frames each person and each track is."""
    truth = [truth for truth, _, _ in numbered]
    found = [found for _, found, _ in numbered]
    empty = np.zeros(0, int)
    return (
        np.bincount(np.concatenate([empty, *truth])),
        np.bincount(np.concatenate([empty, *found])),
    )


def _identity_matches(numbered: _Numbered, min_similarity: float) -> int:
    """IDTP: frames in which people are found under the id that is paired with them."""
    people, tracks = _counts(numbered)
    together = np.zeros((len(people), len(tracks)), int)
    for truth, found, similarity in numbered:
        together[np.ix_(truth, found)] += similarity >= min_similarity
    return int(together[linear_sum_assignment(together, maximize=True)].sum())


def _clear_matches(numbered: _Numbered, min_similarity: float) -> tuple[int, int]:
    """Matches and switches, where a match of the frame before has precedence."""
    people, _ = _counts(numbered)
    last = np.full(len(people), -1)  # each person's last track
    before = np.full(len(people), -1)  # that of the frame before
    matches = switches = 0
    for truth, found, similarity in numbered:
        kept = found == before[truth][:, None]
        weight = np.where(similarity >= min_similarity, similarity + 1000 * kept, 0)
        rows, columns = linear_sum_assignment(weight, maximize=True)
        valid = weight[rows, columns] > 0
        rows, columns = truth[rows[valid]], found[columns[valid]]
        matches += len(rows)
        switches += int(((last[rows] >= 0) & (last[rows] != columns)).sum())
        before[:] = -1
        before[rows] = last[rows] = columns
    return matches, switches


def _hota(numbered: _Numbered) -> dict[str, float]:
    people, tracks = _counts(numbered)
    alignment = _alignment(numbered, people, tracks)
    matches = np.zeros((len(ALPHAS), len(people), len(tracks)))
    similarities = np.zeros(len(ALPHAS))
    for truth, found, similarity in numbered:
        score = alignment[np.ix_(truth, found)] * similarity
        rows, columns = linear_sum_assignment(score, maximize=True)
        alike = similarity[rows, columns]
        for index, alpha in enumerate(ALPHAS):
            valid = alike >= alpha - np.finfo(float).eps
            similarities[index] += alike[valid].sum()
            matches[index, truth[rows[valid]], found[columns[valid]]] += 1
    total = matches.sum(axis=(1, 2))  # [A]
    either = people[:, None] + tracks - matches
    shares = matches * matches / np.maximum(either, 1)
    ass_a = shares.sum(axis=(1, 2)) / np.maximum(total, 1)
    det_a = total / np.maximum(people.sum() + tracks.sum() - total, 1)
    loc_a = np.where(total > 0, similarities / np.maximum(total, 1), 1.0)
    return {
        "hota": float(np.sqrt(det_a * ass_a).mean()),
        "det_a": float(det_a.mean()),
        "ass_a": float(ass_a.mean()),
        "loc_a": float(loc_a.mean()),
    }


def _alignment(
    numbered: _Numbered, people: np.ndarray, tracks: np.ndarray
) -> np.ndarray:
    """How well each person and each track go together over all frames."""
    potential = np.zeros((len(people), len(tracks)))
    for truth, found, similarity in numbered:
        either = similarity.sum(axis=0) + similarity.sum(axis=1)[:, None] - similarity
        usable = either > np.finfo(float).eps
        share = np.where(usable, similarity / np.where(usable, either, 1), 0)
        potential[np.ix_(truth, found)] += share
    return potential / np.maximum(people[:, None] + tracks - potential, 1e-12)

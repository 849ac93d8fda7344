"""Ids that stay with people from frame to frame, by the similarity of their poses."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from qepose_tf.inference.tracking.assignment import best_pairs
from qepose_tf.inference.tracking.motion import Motion
from qepose_tf.inference.tracking.similarity import pairwise_oks, pose_scales
from qepose_tf.skeleton import Skeleton

NO_TRACK = -1

# With 0, lost tracks take over others' people; with 1, too few find theirs again
# (docs/DECISIONS.md).
_CERTAINTY_POWER = 0.25
# How much the size of a pose may differ from its track's, as a logarithm: 15 %.
_SIZE_TOLERANCE = 0.15


@dataclass(frozen=True)
class TrackerSettings:
    """What decides which poses become a track.

    Attributes:
        high_score: Poses that score at least this are matched first, and start tracks.
        low_score: Poses between this and `high_score` only continue a track; poses
            below are not looked at.
        min_similarity: The least OKS of a pose with a track's predicted pose.
        lost_seconds: For how long a track waits for a person who is not found.
        confirm_frames: In how many frames a new track has to be found before it waits
            that long, and counts as confirmed.
        new_lost_seconds: For how long a track waits that is not confirmed.
        same_person: A pose starts no track if its OKS with a pose of a track is at
            least this: it is the same person found twice.
        min_scale: The least scale of a person in px (`pose_scales`); it is also that of
            skeletons of one keypoint, which have no size of their own.

    Raises:
        ValueError: A value is out of its range.
    """

    high_score: float = 0.4
    low_score: float = 0.1
    min_similarity: float = 0.15
    lost_seconds: float = 2.0
    confirm_frames: int = 3
    new_lost_seconds: float = 0.3
    same_person: float = 0.8
    min_scale: float = 8.0

    def __post_init__(self) -> None:
        if not self.low_score <= self.high_score:
            raise ValueError(
                "expected low_score <= high_score, got "
                f"{self.low_score} and {self.high_score}"
            )
        for name in ("min_similarity", "same_person"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(
                    f"{name}: expected more than 0 and at most 1, got "
                    f"{getattr(self, name)}"
                )
        for name in ("lost_seconds", "new_lost_seconds"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(
                    f"{name}: expected 0 or more, got {getattr(self, name)}"
                )
        if self.confirm_frames < 1:
            raise ValueError(
                f"confirm_frames: expected at least 1, got {self.confirm_frames}"
            )
        if not 0.0 < self.min_scale < np.inf:
            raise ValueError(f"min_scale: expected more than 0, got {self.min_scale}")


class Tracker:
    """Gives the people in the frames of a video ids that stay.

    Each track predicts where its keypoints will be (`Motion`). The poses of a frame are
    assigned to tracks so that the sum of their OKS with the predictions is greatest. In
    this OKS each keypoint's tolerance grows with the uncertainty of its prediction, and
    a track counts less the less certain it is: somebody who was lost for a second may
    be anywhere near, but must not take over a person who was seen all the time. As in
    ByteTrack (Zhang et al. 2022), poses that score high are assigned first, and those
    that score low only continue the tracks that are left: who is half covered scores
    low.

    A new track has its id from its first frame on. `confirmed` tells which ids have
    been found often enough to be believed.

    Args:
        skeleton: What the keypoints are; its sigmas are those of the OKS.
        settings: See `TrackerSettings`.
        **changes: Fields of `TrackerSettings` that differ from `settings`.

    Raises:
        ValueError: A setting is out of its range.
        TypeError: A setting is unknown.

    Example:
        >>> from qepose_tf.skeleton import COCO
        >>> tracker = Tracker(COCO, lost_seconds=1.0)
        >>> walk = np.random.default_rng(0).uniform(0, 90, (2, 17, 2))
        >>> tracker.update(walk, np.array([0.9, 0.8]), 0.0)
        array([1, 2])
        >>> tracker.update(walk[::-1] + 1.5, np.array([0.8, 0.9]), 0.04)
        array([2, 1])
    """

    def __init__(
        self,
        skeleton: Skeleton,
        settings: TrackerSettings | None = None,
        **changes: Any,
    ) -> None:
        self.skeleton = skeleton
        self.settings = dataclasses.replace(settings or TrackerSettings(), **changes)
        self._sigmas = np.array(skeleton.sigmas, float)
        self.reset()

    def reset(self) -> None:
        """Forgets all tracks, as before another video; ids start at 1 again."""
        count = self.skeleton.num_keypoints
        none = np.zeros((0, count, 2))
        self._motion = Motion.start(none, np.zeros(0), self._sigmas)
        self._ids = np.zeros(0, int)
        self._hits = np.zeros(0, int)  # frames in which the track was found
        self._seen = np.zeros(0)  # seconds at which it was found last
        self._confirmed: list[int] = []
        self._next_id = 1
        self._seconds: float | None = None

    @property
    def confirmed(self) -> np.ndarray:
        """The ids that were found in `confirm_frames` frames since the last reset.

        They stay here when their tracks have ended, so that the ids of a whole video
        can be judged at its end.
        """
        return np.array(self._confirmed, int)

    def update(
        self, poses: np.ndarray, scores: np.ndarray, seconds: float
    ) -> np.ndarray:
        """Takes the people of the next frame and returns their ids.

        Args:
            poses: `[N, K, 2]` (x, y) in px, in any order; N may be 0. Keypoints that
                are not finite are unknown.
            scores: `[N]`.
            seconds: The time of the frame. Gaps may differ from frame to frame.

        Returns:
            `[N]` ids from 1 on; -1 for a pose of no track: it scores too low, has no
            known keypoint, or repeats a person.

        Raises:
            ValueError: Shapes do not fit the skeleton, or the time goes back.
        """
        poses, scores = self._checked(poses, scores)
        step = self._advance(seconds)
        scales = pose_scales(poses, self.settings.min_scale)
        usable = np.isfinite(poses).any(axis=(1, 2))
        high = np.flatnonzero(usable & (scores >= self.settings.high_score))
        low = np.flatnonzero(
            usable
            & (scores >= self.settings.low_score)
            & (scores < self.settings.high_score)
        )
        pair_scales = self._pair_scales(poses, scales)
        similarity = pairwise_oks(
            self._motion.positions,
            poses,
            np.sqrt(self._motion.scales[:, None] * pair_scales),
            self._sigmas,
            self._motion.covariances[..., 0],
        )
        weights = self._weights(pair_scales)
        track_of = np.full(len(poses), NO_TRACK)
        for found in (high, low):
            self._match(similarity, weights, found, track_of)
        ids = np.append(self._ids, NO_TRACK)[track_of]  # NO_TRACK is the last entry
        self._correct(poses, pair_scales, track_of, step)
        self._end()
        self._start(poses, scores, scales, high, ids)
        return ids

    def _checked(
        self, poses: np.ndarray, scores: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        poses, scores = np.array(poses, float), np.asarray(scores, float)
        count = self.skeleton.num_keypoints
        if poses.size == 0 and len(scores) == 0:
            return np.zeros((0, count, 2)), np.zeros(0)
        if poses.shape != (len(scores), count, 2) or scores.ndim != 1:
            raise ValueError(
                f"expected poses [N, {count}, 2], as the skeleton "
                f"{self.skeleton.name!r} has {count} keypoints, and scores [N], got "
                f"{list(poses.shape)} and {list(scores.shape)}"
            )
        poses[~np.isfinite(poses).all(axis=-1)] = np.nan
        return poses, scores

    def _advance(self, seconds: float) -> float:
        """Moves the tracks on to the time of the frame; returns how far."""
        before = seconds if self._seconds is None else self._seconds
        if not seconds >= before or not np.isfinite(seconds):
            raise ValueError(
                f"seconds: expected {before} or more, got {seconds}; call reset() "
                "before the frames of another video"
            )
        self._seconds = float(seconds)
        self._motion.predict(seconds - before)
        return float(seconds - before)

    def _pair_scales(self, poses: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """The scale `[T, N]` of each pose, for each track that it may belong to.

        The fewer keypoints of a pose are known, the less its own scale says, and the
        more that of the track counts.
        """
        known = np.isfinite(poses[..., 0]).mean(axis=1)  # [N]
        return self._motion.scales[:, None] ** (1 - known) * scales**known

    def _weights(self, pair_scales: np.ndarray) -> np.ndarray:
        """What each pair counts, `[T, N]`: by certainty, and by how equal sizes are.

        Where a track's place is uncertain, many people are alike to it; the size still
        tells them apart.
        """
        certainty = self._motion.certainty(self._sigmas)[:, None]
        change = np.log(pair_scales / self._motion.scales[:, None]) / _SIZE_TOLERANCE
        return certainty**_CERTAINTY_POWER * np.exp(-0.5 * np.square(change))

    def _match(
        self,
        similarity: np.ndarray,
        weights: np.ndarray,
        found: np.ndarray,
        track_of: np.ndarray,
    ) -> None:
        """Assigns the poses `found` to tracks that have no pose yet, in place."""
        tracks = np.setdiff1d(np.arange(len(self._ids)), track_of)
        if len(tracks) and len(found):
            pairs = np.ix_(tracks, found)
            least = self.settings.min_similarity
            rows, columns = best_pairs(similarity[pairs], least, weights[pairs])
            track_of[found[columns]] = tracks[rows]

    def _correct(
        self,
        poses: np.ndarray,
        pair_scales: np.ndarray,
        track_of: np.ndarray,
        step: float,
    ) -> None:
        """Updates the tracks that were found."""
        matched = np.flatnonzero(track_of >= 0)
        rows = track_of[matched]
        scales = pair_scales[rows, matched]
        self._motion.correct(rows, poses[matched], scales, self._sigmas, step)
        self._hits[rows] += 1
        self._confirm(rows)
        self._seen[rows] = self._seconds

    def _confirm(self, rows: np.ndarray | slice) -> None:
        """Notes the ids that have just been found often enough."""
        enough = self._hits[rows] == self.settings.confirm_frames
        self._confirmed += self._ids[rows][enough].tolist()

    def _end(self) -> None:
        """Drops the tracks that have waited too long."""
        seconds = self._seconds or 0.0
        settings = self.settings
        confirmed = self._hits >= settings.confirm_frames
        patience = np.where(confirmed, settings.lost_seconds, settings.new_lost_seconds)
        rows = np.flatnonzero(seconds - self._seen <= patience)
        self._motion = self._motion.take(rows)
        self._ids, self._hits = self._ids[rows], self._hits[rows]
        self._seen = self._seen[rows]

    def _start(
        self,
        poses: np.ndarray,
        scores: np.ndarray,
        scales: np.ndarray,
        high: np.ndarray,
        ids: np.ndarray,
    ) -> None:
        """Starts tracks of the people who have none, and enters their ids."""
        new = high[ids[high] == NO_TRACK]
        # The best first, then from left to right: the order of the input is no reason.
        middles = np.nanmean(poses[new], axis=1)
        new = new[np.lexsort((middles[:, 1], middles[:, 0], -scores[new]))]
        new = new[self._not_repeated(poses, scales, new, np.flatnonzero(ids > 0))]
        if not len(new):
            return
        started = Motion.start(poses[new], scales[new], self._sigmas)
        self._motion = self._motion.joined(started)
        ids[new] = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)
        self._ids = np.append(self._ids, ids[new])
        self._hits = np.append(self._hits, np.ones(len(new), int))
        self._seen = np.append(self._seen, np.full(len(new), self._seconds))
        self._confirm(slice(len(self._ids) - len(new), None))

    def _not_repeated(
        self, poses: np.ndarray, scales: np.ndarray, new: np.ndarray, taken: np.ndarray
    ) -> np.ndarray:
        """Which new poses `[N]` are nobody's who has a track or comes before."""
        others = np.concatenate([taken, new])
        shared = np.sqrt(scales[new][:, None] * scales[others])
        oks = pairwise_oks(poses[new], poses[others], shared, self._sigmas)
        earlier = np.arange(len(others)) < len(taken) + np.arange(len(new))[:, None]
        repeated = (oks >= self.settings.same_person) & earlier
        return np.logical_not(repeated.any(axis=1))

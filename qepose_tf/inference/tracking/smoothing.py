"""Poses of tracks without the jitter of single frames: the One Euro filter."""

import numpy as np

from qepose_tf.inference.tracking.similarity import pose_scales


class Smoother:
    """Smooths each keypoint of each track over time, for drawings and measurements.

    It is the One Euro filter (Casiez, Roussel and Vogel, CHI 2012): a low-pass filter
    whose cutoff rises with the keypoint's speed. Who stands still does not jitter, and
    fast movements lag little. A keypoint that moves evenly lags behind by
    `1 / (2 pi (min_cutoff + speed_gain * speed))` seconds, with the speed in scales of
    the person (`pose_scales`) a second: with the defaults by 106 ms close to rest, and
    by 34 ms at a walking speed of 1.6 scales a second.

    Args:
        min_cutoff: The cutoff at rest in Hz. Less smooths more and lags more.
        speed_gain: By how many Hz the cutoff rises for each scale a second.
        speed_cutoff: The cutoff of the speed's own filter in Hz.
        forget_seconds: After which an id, or a keypoint, starts anew if it was not
            seen.
        min_scale: The least scale of a person in px.

    Raises:
        ValueError: A cutoff or the scale is not positive, or a number is negative.

    Example:
        >>> smoother = Smoother(min_cutoff=1 / (2 * np.pi * 0.1), speed_gain=0.0)
        >>> for x, seconds in ((0.0, 0.0), (8.0, 0.1), (8.0, 0.2)):
        ...     pose = np.array([[[x, 0.0], [x + 20.0, 0.0]]])
        ...     print(smoother.update(pose, np.array([1]), seconds)[0, 0, 0].round(3))
        0.0
        4.0
        6.0
    """

    def __init__(
        self,
        min_cutoff: float = 1.5,
        speed_gain: float = 2.0,
        speed_cutoff: float = 1.0,
        forget_seconds: float = 1.0,
        min_scale: float = 8.0,
    ) -> None:
        for name, value in (
            ("min_cutoff", min_cutoff),
            ("speed_cutoff", speed_cutoff),
            ("min_scale", min_scale),
        ):
            if not value > 0.0:
                raise ValueError(f"{name}: expected more than 0, got {value}")
        for name, value in (
            ("speed_gain", speed_gain),
            ("forget_seconds", forget_seconds),
        ):
            if not value >= 0.0:
                raise ValueError(f"{name}: expected 0 or more, got {value}")
        self.min_cutoff, self.speed_gain = min_cutoff, speed_gain
        self.speed_cutoff, self.forget_seconds = speed_cutoff, forget_seconds
        self.min_scale = min_scale
        self.reset()

    def reset(self) -> None:
        """Forgets everybody, as before another video."""
        self._ids = np.zeros(0, int)
        self._raw = self._smooth = self._velocities = np.zeros((0, 0, 2))
        self._seen = np.zeros((0, 0))  # when each keypoint was seen last, in s

    def update(self, poses: np.ndarray, ids: np.ndarray, seconds: float) -> np.ndarray:
        """Takes the poses of the next frame and returns them smoothed.

        Args:
            poses: `[N, K, 2]` (x, y) in px.
            ids: `[N]`, of `Tracker.update`. Poses with ids below 1 stay as they are.
            seconds: The time of the frame. Gaps may differ from frame to frame.

        Returns:
            `[N, K, 2]` in px. Keypoints that are not finite stay so; when they are
            seen again, their gap counts.

        Raises:
            ValueError: The ids do not fit the poses, or one occurs twice.
        """
        poses, ids = np.array(poses, float), np.asarray(ids, int)
        tracked = np.flatnonzero(ids > 0)
        if ids.shape != poses.shape[:1] or len(np.unique(ids[tracked])) != len(tracked):
            raise ValueError(
                f"expected one id for each of {len(poses)} poses, all different, "
                f"got {ids.tolist()}"
            )
        if not len(tracked):
            return poses
        rows = self._rows(ids[tracked], poses.shape[1])
        poses[tracked] = self._filter(rows, poses[tracked], float(seconds))
        self._forget(float(seconds))
        return poses

    def _rows(self, ids: np.ndarray, keypoints: int) -> np.ndarray:
        """The rows of these ids in the state; new ones are appended."""
        new = np.setdiff1d(ids, self._ids)
        nowhere = np.full((len(new), keypoints, 2), np.nan)

        def with_new(known: np.ndarray, rows: np.ndarray) -> np.ndarray:
            return np.concatenate([known.reshape(-1, *rows.shape[1:]), rows])

        self._raw = with_new(self._raw, nowhere)
        self._smooth = with_new(self._smooth, nowhere)
        self._velocities = with_new(self._velocities, np.zeros_like(nowhere))
        self._seen = with_new(self._seen, nowhere[..., 0])
        self._ids = np.append(self._ids, new)
        order = np.argsort(self._ids)
        return order[np.searchsorted(self._ids, ids, sorter=order)]

    def _filter(
        self, rows: np.ndarray, poses: np.ndarray, seconds: float
    ) -> np.ndarray:
        found = np.asarray(np.isfinite(poses).all(axis=-1))  # [M, K]
        gap = seconds - self._seen[rows]
        going_on = found & (gap >= 0) & (gap <= self.forget_seconds)
        gap = np.where(going_on, gap, 0.0)[..., None]  # [M, K, 1]
        moved = np.where(going_on[..., None], poses - self._raw[rows], 0.0)
        velocity = np.where(going_on[..., None], self._velocities[rows], 0.0)
        measured = np.where(gap > 0, moved / np.where(gap > 0, gap, 1.0), velocity)
        velocity = velocity + _share(self.speed_cutoff, gap) * (measured - velocity)
        scales = pose_scales(poses, self.min_scale)[:, None, None]
        speed = np.linalg.norm(velocity, axis=-1, keepdims=True) / scales
        share = _share(self.min_cutoff + self.speed_gain * speed, gap)
        before = np.where(going_on[..., None], self._smooth[rows], poses)
        smooth = before + share * (poses - before)
        known = found[..., None]
        self._raw[rows] = np.where(known, poses, self._raw[rows])
        self._smooth[rows] = np.where(known, smooth, self._smooth[rows])
        self._velocities[rows] = np.where(known, velocity, self._velocities[rows])
        self._seen[rows] = np.where(found, seconds, self._seen[rows])
        return np.where(known, smooth, poses)

    def _forget(self, seconds: float) -> None:
        """Drops the ids of which no keypoint was seen for `forget_seconds`."""
        last = np.where(np.isfinite(self._seen), self._seen, -np.inf).max(axis=1)
        rows = np.flatnonzero(seconds - last <= self.forget_seconds)
        self._ids, self._seen = self._ids[rows], self._seen[rows]
        self._raw, self._smooth = self._raw[rows], self._smooth[rows]
        self._velocities = self._velocities[rows]


def _share(cutoff: np.ndarray | float, seconds: np.ndarray) -> np.ndarray:
    """How far a first-order low-pass filter goes to a new value in `seconds`."""
    turn = 2.0 * np.pi * cutoff * seconds
    return turn / (turn + 1.0)

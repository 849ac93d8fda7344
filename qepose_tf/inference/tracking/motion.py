"""Where the keypoints of all tracks are and move to: one Kalman filter a keypoint."""

from dataclasses import dataclass

import numpy as np

# All in the person's scales (`pose_scales`), so that a video of half the size gives the
# same tracks. A walking adult is about 2 scales tall and walks 1.6 scales a second.
FIRST_SPEED = 2.0  # scales/s, standard deviation of a new keypoint's velocity
WANDER = 2.0  # scales/s in a second, by which a velocity changes
LIMB_SECONDS = 0.2  # after which 63 % of a limb's own velocity are forgotten
SCALE_SECONDS = 0.5  # over which a person's scale is averaged


@dataclass
class Motion:
    """Positions, velocities and their uncertainty, row by row for T tracks.

    Attributes:
        positions: `[T, K, 2]` in px; NaN where a keypoint was never seen.
        velocities: `[T, K, 2]` in px/s.
        covariances: `[T, K, 3]`: the variance of the position in px^2, its covariance
            with the velocity, the variance of the velocity in px^2/s^2; the same for
            x and y.
        scales: `[T]`, the averaged scale of each person in px.
    """

    positions: np.ndarray
    velocities: np.ndarray
    covariances: np.ndarray
    scales: np.ndarray

    @classmethod
    def start(
        cls, poses: np.ndarray, scales: np.ndarray, sigmas: np.ndarray
    ) -> "Motion":
        """Tracks that stand still at their first poses, with unknown velocities.

        Args:
            poses: `[T, K, 2]` in px.
            scales: `[T]` in px.
            sigmas: `[K]`, how exact each keypoint is in scales.
        """
        covariances = np.zeros((*poses.shape[:2], 3))
        covariances[..., 0] = np.square(scales[:, None] * sigmas)
        covariances[..., 2] = np.square(FIRST_SPEED * scales)[:, None]
        return cls(poses.copy(), np.zeros_like(poses), covariances, scales.copy())

    def certainty(self, sigmas: np.ndarray) -> np.ndarray:
        """How well each track knows where its person is, `[T]` in (0, 1].

        It is the mean over keypoints of the tolerance that OKS has by itself, divided
        by the tolerance with the variance of the prediction.

        Args:
            sigmas: `[K]`.
        """
        own = np.square(self.scales[:, None] * (2.0 * sigmas))
        return (own / (own + self.covariances[..., 0])).mean(axis=1)

    def take(self, rows: np.ndarray) -> "Motion":
        """The chosen tracks, in this order."""
        return Motion(
            self.positions[rows],
            self.velocities[rows],
            self.covariances[rows],
            self.scales[rows],
        )

    def joined(self, other: "Motion") -> "Motion":
        """These tracks, then the others."""
        return Motion(
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.velocities, other.velocities]),
            np.concatenate([self.covariances, other.covariances]),
            np.concatenate([self.scales, other.scales]),
        )

    def predict(self, seconds: float) -> None:
        """Moves every track on in time.

        The body keeps its velocity, the mean of its keypoints'. What a limb moves
        beyond that decays, for an arm that swings does not fly away from a person who
        is out of sight for a second. The uncertainty grows as if a velocity were a
        random walk. Many short steps lead to the same as one long one.

        Args:
            seconds: How far, 0 or more.
        """
        seen = np.isfinite(self.positions[..., 0])  # [T, K]
        count = np.maximum(seen.sum(axis=1), 1)[:, None, None]
        moving = np.where(seen[..., None], self.velocities, 0.0)
        body = moving.sum(axis=1, keepdims=True) / count  # [T, 1, 2]
        limbs = self.velocities - body
        left = np.exp(-seconds / LIMB_SECONDS)
        reach = LIMB_SECONDS * (1.0 - left)
        self.positions += body * seconds + limbs * reach
        self.velocities = body + limbs * left
        place, both, speed = np.moveaxis(self.covariances, -1, 0)
        kept = [
            place + 2 * seconds * both + seconds**2 * speed,
            both + seconds * speed,
            speed,
        ]
        added = np.array([seconds**3 / 3, seconds**2 / 2, seconds])
        wander = np.square(WANDER * self.scales)[:, None, None]
        self.covariances = np.stack(kept, axis=-1) + wander * added

    def correct(
        self,
        rows: np.ndarray,
        poses: np.ndarray,
        scales: np.ndarray,
        sigmas: np.ndarray,
        seconds: float,
    ) -> None:
        """Brings tracks to the poses that were found to be theirs.

        Keypoints that are not finite change nothing.

        Args:
            rows: `[M]`, which tracks.
            poses: `[M, K, 2]` in px.
            scales: `[M]` in px, of these poses.
            sigmas: `[K]`, how exact each keypoint is in scales.
            seconds: Since the frame before.
        """
        share = 1.0 - np.exp(-seconds / SCALE_SECONDS)
        self.scales[rows] += share * (scales - self.scales[rows])
        place, both, speed = np.moveaxis(self.covariances[rows], -1, 0)
        size = self.scales[rows][:, None]
        noise = np.square(size * sigmas)
        found = np.isfinite(poses).all(axis=-1)  # [M, K]
        new = found & ~np.isfinite(self.positions[rows, :, 0])
        self._start_keypoints(rows, poses, new)
        seen = found & ~new
        to_place = np.where(seen, place / (place + noise), 0.0)
        to_speed = np.where(seen, both / (place + noise), 0.0)
        away = np.where(seen[..., None], poses - self.positions[rows], 0.0)
        self.positions[rows] += to_place[..., None] * away
        self.velocities[rows] += to_speed[..., None] * away
        corrected = np.stack(
            [
                (1 - to_place) * place,
                (1 - to_place) * both,
                speed - to_speed * both,
            ],
            axis=-1,
        )
        fresh = np.stack(
            [noise, 0 * noise, 0 * noise + np.square(FIRST_SPEED * size)], axis=-1
        )
        self.covariances[rows] = np.where(new[..., None], fresh, corrected)

    def _start_keypoints(
        self, rows: np.ndarray, poses: np.ndarray, new: np.ndarray
    ) -> None:
        """Places keypoints that are seen for the first time; they move as the body."""
        seen = np.isfinite(self.positions[rows, :, 0])
        count = np.maximum(seen.sum(axis=1), 1)[:, None, None]
        moving = np.where(seen[..., None], self.velocities[rows], 0.0)
        body = moving.sum(axis=1, keepdims=True) / count
        self.positions[rows] = np.where(new[..., None], poses, self.positions[rows])
        self.velocities[rows] = np.where(new[..., None], body, self.velocities[rows])

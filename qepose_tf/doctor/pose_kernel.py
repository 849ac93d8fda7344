"""How alike two poses are when one's left and right may be exchanged."""

import numpy as np

from qepose_tf.doctor.people import People

# Weights of what a pose is compared by: its place in the picture and its place
# turned upright in equal parts, then whether a keypoint is labelled, and visible.
_PLACE, _LABELLED, _VISIBLE = 0.5, 0.5, 0.7
_MIRRORED = (0, 2)  # the features that change sign in a mirror: both x


def described(people: People, permutation: np.ndarray) -> np.ndarray:
    """Poses without their place and size: `[N, K, 6]` float32.

    Exchanging left and right permutes K and changes nothing else: centre, size and
    the turn are the same for both.

    Args:
        people: With at least one labelled keypoint each.
        permutation: `[K]`, of the skeleton's flip pairs.
    """
    labelled = people.labelled
    weight = labelled[..., None] / labelled.sum(axis=-1)[:, None, None]
    points = people.keypoints[..., :2]
    points = (points - (points * weight).sum(axis=1, keepdims=True)) * (weight > 0)
    spread = np.sqrt(np.square(points * np.sqrt(weight)).sum(axis=(1, 2)))
    points /= np.maximum(spread, 1e-6)[:, None, None]
    parts = [
        *(_PLACE * points, _PLACE * _upright(points, labelled, permutation)),
        _LABELLED * labelled[..., None],
        _VISIBLE * people.visible[..., None],
    ]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def antisymmetric(
    poses: np.ndarray, landmarks: np.ndarray, permutation: np.ndarray
) -> np.ndarray:
    """A kernel that changes its sign when a pose's left and right are exchanged.

    A mirrored pose is as right as the pose, so it counts as the same one.

    Args:
        poses: `[N, K, 6]`.
        landmarks: `[L, K, 6]`.
        permutation: `[K]`.

    Returns:
        `[N, L]` float64.
    """
    mirrored = landmarks[:, permutation].copy()
    mirrored[..., _MIRRORED] *= -1
    exchanged = mirrored.copy()
    exchanged[..., _MIRRORED] *= -1
    unpaired = exchanged[:, permutation].copy()
    unpaired[..., _MIRRORED] *= -1
    flat = poses.reshape(len(poses), -1)
    return (
        _alike(flat, landmarks)
        + _alike(flat, mirrored)
        - _alike(flat, exchanged)
        - _alike(flat, unpaired)
    )


def _alike(flat: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A broad kernel for what most poses share, and a narrow one for the rest."""
    other = landmarks.reshape(len(landmarks), -1)
    product = (flat @ other.T).astype(np.float64)
    squares = np.square(flat).sum(axis=1)[:, None] + np.square(other).sum(axis=1)
    per_keypoint = 1 + product / landmarks.shape[1]
    return (
        np.square(np.square(per_keypoint)) / 600
        + np.exp(0.2 * product - 0.1 * squares) / 2
    )


def _upright(
    points: np.ndarray, labelled: np.ndarray, permutation: np.ndarray
) -> np.ndarray:
    """Poses turned so that their middle line stands as it does on average.

    A handstand is compared with people who stand.
    """
    both = labelled & labelled[:, permutation]
    middle = (points + points[:, permutation]) / 2
    complex_middle = (middle[..., 0] + 1j * middle[..., 1]) * both
    average = complex_middle.sum(axis=0) / np.maximum(both.sum(axis=0), 1)
    turn = (np.conj(complex_middle) * average).sum(axis=-1)
    length = np.abs(turn)
    turn = np.where(length > 1e-6, turn / np.maximum(length, 1e-12), 1)
    turned = (points[..., 0] + 1j * points[..., 1]) * turn[:, None]
    return np.stack([turned.real, turned.imag], axis=-1)

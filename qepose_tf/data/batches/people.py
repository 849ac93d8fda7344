"""Which people of a crop are learned, and whose discs are ignored."""

import numpy as np

from qepose_tf.ops.geometry import STRIDE


def select_people(
    keypoints: np.ndarray,
    area: np.ndarray,
    large_enough: np.ndarray,
    max_people: int,
    map_size: int,
    disc_radius: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keeps the largest people of a crop; the discs of the others are ignored.

    Args:
        keypoints: `[N, K, 3]` float32 (x, y, v) in pixels of the crop.
        area: `[N]` float32 in the same pixels squared.
        large_enough: `[N]` bool; others are not kept.
        max_people: M.
        map_size: Side of the stride-4 map.
        disc_radius: In cells.

    Returns:
        keypoints `[M, K, 3]`, area `[M]`, both padded with 0, and the others' discs
        `[map_size, map_size]` bool, ignored.
    """
    centres, in_crop = _centres(keypoints, area, map_size)
    candidate = large_enough & in_crop
    largest = np.argsort(-np.where(candidate, area, 0), kind="stable")
    kept = largest[candidate[largest]][:max_people]
    kept_keypoints = np.zeros((max_people, *keypoints.shape[1:]), np.float32)
    kept_area = np.zeros(max_people, np.float32)
    kept_keypoints[: len(kept)], kept_area[: len(kept)] = keypoints[kept], area[kept]
    others = in_crop.copy()
    others[kept] = False
    return kept_keypoints, kept_area, _discs(centres[others], map_size, disc_radius)


def unknown_background(
    keypoints: np.ndarray, map_size: int, disc_radius: float
) -> np.ndarray:
    """Where an image that does not label everybody may show somebody else.

    The box around a person's labelled keypoints is surely nobody else's, and so is the
    disc around the centre; what lies outside of them is not known.

    Args:
        keypoints: `[M, K, 3]` float32 (x, y, v) in pixels of the crop, of the people
            that are kept.
        map_size: Side of the stride-4 map.
        disc_radius: In cells.

    Returns:
        `[map_size, map_size]` bool, True where nothing may be learned.
    """
    centres, shown = _centres(keypoints, np.ones(len(keypoints)), map_size)
    labelled = (keypoints[..., 2] > 0)[..., None]
    cells = keypoints[..., :2] / STRIDE
    low = np.where(labelled, cells, np.inf).min(axis=1)[..., None]  # [M, 2, 1]
    high = np.where(labelled, cells, -np.inf).max(axis=1)[..., None]
    steps = np.arange(map_size)
    within = (steps >= low) & (steps <= high)  # [M, 2, cells]
    boxes = (within[:, 1, :, None] & within[:, 0, None, :]).any(axis=0)
    return ~(boxes | _discs(centres[shown], map_size, disc_radius))


def _centres(
    keypoints: np.ndarray, area: np.ndarray, map_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `ops.targets.centres`: cells `[N, 2]`, and whether there is one `[N]`."""
    points = keypoints[..., :2]
    inside = (points >= 0) & (points <= map_size * STRIDE - 1)
    labelled = (keypoints[..., 2] > 0) & inside.all(-1)
    count = labelled.sum(-1)
    cells = np.where(labelled[..., None], points / STRIDE, np.float32(0))
    mean = cells.sum(1) / np.maximum(count, 1).astype(np.float32)[:, None]
    return np.floor(mean + np.float32(0.5)), (count > 0) & (area > 0)


def _discs(centres: np.ndarray, map_size: int, radius: float) -> np.ndarray:
    """The cells closer than `radius` to a centre, `[map_size, map_size]` bool."""
    if not len(centres):
        return np.zeros((map_size, map_size), bool)
    away = np.arange(map_size) - centres[..., None]  # [N, 2, cells]
    squared = away * away
    return (squared[:, 1, :, None] + squared[:, 0, None] < radius**2).any(0)

"""Where the training targets stand: centres, discs (Omega) and their owners."""

import numpy as np
from keras import ops

from qepose_tf.ops.facts import Omega
from qepose_tf.ops.geometry import STRIDE


def disc_offsets(radius: float) -> np.ndarray:
    """Integer offsets closer to (0, 0) than `radius`: `[P, 2]` int32 (x, y).

    The neighbourhood Omega of Eq. 2; 45 cells for the paper's radius of 4.
    """
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = x**2 + y**2 < radius**2
    return np.stack([x[inside], y[inside]], axis=-1).astype(np.int32)


def keypoints_inside(keypoints_px, map_hw):
    """Keypoints in cells, unlabelled where they lie outside the crop.

    Args:
        keypoints_px: `[B, M, K, 3]` (x, y, v) in input pixels.
        map_hw: height and width of the stride-4 map.

    Returns:
        `[B, M, K, 3]` (x, y, labelled 0 or 1) in cells.
    """
    keypoints_px = ops.cast(keypoints_px, "float32")
    x, y, visibility = (keypoints_px[..., i] for i in range(3))
    height = ops.cast(map_hw[0] * STRIDE, "float32")
    width = ops.cast(map_hw[1] * STRIDE, "float32")
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    labelled = ops.cast((visibility > 0) & inside, "float32")
    return ops.stack([x / STRIDE, y / STRIDE, labelled], axis=-1)


def centres(keypoints_px, area, map_hw):
    """The cell at the mean of each person's labelled keypoints inside the crop.

    Args:
        keypoints_px: `[B, M, K, 3]` (x, y, v) in input pixels.
        area: `[B, M]` in input pixels squared; 0 marks padding.
        map_hw: height and width of the stride-4 map.

    Returns:
        centres: `[B, M, 2]` int32 (x, y) cells, rounded half up, and
        valid: `[B, M]` bool, whether the person has a centre at all.
    """
    mean, valid = mean_points(keypoints_inside(keypoints_px, map_hw), area)
    return ops.cast(ops.floor(mean + 0.5), "int32"), valid


def mean_points(keypoints, area):
    """The mean of each person's labelled keypoints.

    Args:
        keypoints: `[B, M, K, 3]` (x, y, labelled 0 or 1) in cells, see
            `keypoints_inside`.
        area: `[B, M]`; 0 marks padding.

    Returns:
        `[B, M, 2]` float32 (x, y) in cells, and `[B, M]` bool, whether the person has a
        labelled keypoint and is no padding.
    """
    labelled = keypoints[..., 2:]
    count = ops.sum(labelled, axis=(-2, -1))
    # An unlabelled keypoint may hold anything, NaN too, which 0 times would keep.
    points = ops.where(labelled > 0, keypoints[..., :2], 0.0)
    mean = ops.sum(points, axis=-2) / ops.maximum(count, 1.0)[..., None]
    return mean, (count > 0) & (ops.cast(area, "float32") > 0)


def disc_cells(disc_centres, valid, area, map_hw, radius: float):
    """The cells of every disc, and which of them the disc's person owns.

    Where discs overlap the person of the smaller area owns the cell; of equal areas
    the first.

    Args:
        disc_centres: `[B, M, 2]` int32 (x, y) cells.
        valid: `[B, M]` bool.
        area: `[B, M]`.
        map_hw: height and width of the map.
        radius: in cells.

    Returns:
        cells: `[B, M, P, 2]` int32 (x, y), clamped into the map, and
        owned: `[B, M, P]` float32: 1 where person `m` owns the cell, 0 where another
        does, where the cell lies outside the map or the person is invalid.
    """
    offsets = ops.convert_to_tensor(disc_offsets(radius))
    cells = disc_centres[:, :, None, :] + offsets  # [B, M, P, 2]
    x, y = cells[..., 0], cells[..., 1]
    inside = (x >= 0) & (x < map_hw[1]) & (y >= 0) & (y < map_hw[0])
    area = ops.cast(area, "float32")
    people = ops.arange(ops.shape(area)[1])
    smaller = area[:, None, :] < area[:, :, None]  # [B, M, other]
    first = people[None, None, :] < people[None, :, None]
    equal = area[:, None, :] == area[:, :, None]
    beats = (smaller | (equal & first)) & valid[:, None, :]
    away = ops.cast(
        cells[:, :, :, None, :] - disc_centres[:, None, None, :, :], "float32"
    )
    covers = ops.sum(away * away, axis=-1) < radius**2  # [B, M, P, other]
    taken = ops.any(covers & beats[:, :, None, :], axis=-1)
    owned = inside & ~taken & valid[:, :, None]
    limit = ops.convert_to_tensor([map_hw[1] - 1, map_hw[0] - 1])
    return ops.clip(cells, 0, limit), ops.cast(owned, "float32")


def locate_omega(keypoints_px, area, map_hw, radius: float, packed: bool) -> Omega:
    """Omega of every person, padded or packed (see `Omega`).

    Args:
        keypoints_px: `[B, M, K, 3]` (x, y, v) in input pixels.
        area: `[B, M]` in input pixels squared; 0 marks padding.
        map_hw: height and width of the stride-4 map.
        radius: of a disc, in cells.
        packed: whether cells that do not count are left out.
    """
    if packed:
        # The cell that does not count needs a person, who is not there where M is 0.
        keypoints_px = ops.pad(keypoints_px, [[0, 0], [0, 1], [0, 0], [0, 0]])
        area = ops.pad(area, [[0, 0], [0, 1]])
    keypoints = keypoints_inside(keypoints_px, map_hw)  # [B, M, K, 3]
    disc_centres, valid = centres(keypoints_px, area, map_hw)
    cells, owned = disc_cells(disc_centres, valid, area, map_hw, radius)
    batch, people, disc = ops.shape(owned)
    owned = ops.reshape(owned, [-1])
    if packed:
        (rows,) = ops.nonzero(owned)
        # One cell that does not count keeps an empty batch from having no cell at all.
        rows = ops.pad(ops.cast(rows, "int32"), [[0, 1]])[None]
        counts = ops.pad(ops.ones_like(rows[:, 1:], "float32"), [[0, 0], [0, 1]])
    else:
        rows = ops.reshape(ops.arange(batch * people * disc), [batch, people * disc])
        counts = ops.reshape(owned, [batch, people * disc])
    person = rows // disc
    offsets = disc_offsets(radius)
    distance2 = ops.convert_to_tensor((offsets**2).sum(-1).astype("float32"))

    def of_person(values):
        shape = ops.shape(values)
        values = ops.reshape(values, [batch * people, *shape[2:]])
        return ops.stop_gradient(ops.take(values, person, axis=0))

    return Omega(
        images=person // people,
        cells=ops.take(ops.reshape(cells, [-1, 2]), rows, axis=0),
        owned=counts,
        distance2=ops.take(distance2, rows % disc, axis=0),
        keypoints=of_person(keypoints),
        area=of_person(ops.cast(area, "float32") / STRIDE**2),
    )


def scatter_to_map(values, images, cells, shape):
    """Adds values into empty maps.

    Args:
        values: `[B, P]`, or any number of rows.
        images: like `values`, int32, the map that each belongs to.
        cells: like `values` with a last axis of 2, int32 (x, y) inside the map.
        shape: number, height and width of the maps.

    Returns:
        `[B, H, W, 1]`.
    """
    batch, height, width = shape
    rows = (images * height + cells[..., 1]) * width + cells[..., 0]
    flat = ops.segment_sum(
        ops.reshape(values, [-1]), ops.reshape(rows, [-1]), batch * height * width
    )
    return ops.reshape(flat, [batch, height, width, 1])

"""DEKR's heatmap targets: a Gaussian about every keypoint and every centre."""

import math

import numpy as np
from keras import ops

from qepose_tf.ops.targets import keypoints_inside, mean_points


def window_offsets(sigma: float) -> np.ndarray:
    """Offsets `[P, 2]` int32 (x, y) of the cells in which a Gaussian is drawn.

    They reach `3 sigma + 1` cells in each direction, as in HRNet/DEKR
    (lib/dataset/target_generators.py).
    """
    reach = math.ceil(3.0 * sigma) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.stack([x.reshape(-1), y.reshape(-1)], axis=-1).astype(np.int32)


def gaussian_maps(points, present, map_hw, sigma: float):
    """Draws one map per channel: the highest of the Gaussians about its points.

    Args:
        points: `[B, M, C, 2]` (x, y) in cells, one point per person and channel.
        present: `[B, M, C]` bool; other points are not drawn.
        map_hw: The height and width of the map.
        sigma: In cells.

    Returns:
        `[B, H, W, C]` float32: 1 at a point that is a whole cell, and 0 outside of all
        windows. Inside a window it is above 0.
    """
    batch, people, channels = ops.shape(present)
    height, width = map_hw
    offsets = ops.convert_to_tensor(window_offsets(sigma))
    # A point that is not present may hold anything, NaN too.
    points = ops.where(ops.expand_dims(present, -1), ops.cast(points, "float32"), 0.0)
    points = ops.expand_dims(points, 3)  # [B, M, C, 1, 2]
    cells = ops.cast(ops.floor(points), "int32") + offsets  # [B, M, C, P, 2]
    away = ops.cast(cells, "float32") - points
    values = ops.exp(-ops.sum(ops.square(away), axis=-1) / (2.0 * sigma**2))
    x, y = cells[..., 0], cells[..., 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    inside = inside & ops.expand_dims(present, -1)
    image = ops.reshape(ops.arange(batch), [batch, 1, 1, 1])
    channel = ops.reshape(ops.arange(channels), [1, 1, channels, 1])
    number = ((image * height + y) * width + x) * channels + channel
    count = batch * height * width * channels
    # What is not drawn goes into a number beyond the maps.
    number = ops.reshape(ops.where(inside, number, count), [-1])
    highest = ops.segment_max(ops.reshape(values, [-1]), number, count + 1)
    # A cell that no Gaussian reaches has the lowest float.
    maps = ops.maximum(highest[:-1], 0.0)
    return ops.reshape(maps, [batch, height, width, channels])


def heat_targets(
    keypoints_px,
    area,
    map_hw,
    keypoint_sigma: float = 2.0,
    centre_sigma: float = 4.0,
):
    """Draws what DEKR's heatmaps are taught.

    A centre is the mean of a person's labelled keypoints inside the crop. Where the
    Gaussians of two people meet, the higher value counts.

    Args:
        keypoints_px: `[B, M, K, 3]` (x, y, v) in input pixels.
        area: `[B, M]` in input pixels squared; 0 marks padding.
        map_hw: The height and width of the stride-4 map.
        keypoint_sigma: In cells.
        centre_sigma: In cells.

    Returns:
        The centres' map `[B, H, W, 1]` and the keypoints' maps `[B, H, W, K]`, float32
        without a gradient. A map is above 0 exactly in the windows of its Gaussians.
    """
    keypoints = keypoints_inside(keypoints_px, map_hw)
    middle, valid = mean_points(keypoints, area)
    labelled = (keypoints[..., 2] > 0) & ops.expand_dims(valid, -1)
    centre = gaussian_maps(
        middle[:, :, None], ops.expand_dims(valid, -1), map_hw, centre_sigma
    )
    heat = gaussian_maps(keypoints[..., :2], labelled, map_hw, keypoint_sigma)
    return ops.stop_gradient(centre), ops.stop_gradient(heat)

"""Ground truth to targets, to perfect maps, to decoded poses: the same poses."""

import numpy as np
import pytest
from keras import ops

from qepose_tf.ops import decode, targets
from qepose_tf.ops.geometry import STRIDE
from qepose_tf.ops.sampling import take_cells
from tests.backends import everywhere

MAP_HW = (24, 32)


def people_far_apart():
    """Two images of four places for people; the second shows only one person."""
    rng = np.random.default_rng(0)
    middle = np.array([[28, 24], [98, 24], [28, 70], [98, 70]])
    points = middle[:, None] + rng.uniform(-20, 20, (2, 4, 17, 2))
    keypoints = np.concatenate([points, np.full((2, 4, 17, 1), 2)], -1)
    area = np.array([[1600, 900, 1500, 1000], [0, 800, 0, 0]])
    return keypoints.astype("float32"), area.astype("float32")


def detections(keypoints_px, area):
    centres, valid = targets.centres(keypoints_px, area, MAP_HW)
    cells, owned = targets.disc_cells(centres, valid, area, MAP_HW, 4.0)
    batch, people, disc = ops.shape(owned)
    cells = ops.reshape(cells, [batch, people * disc, 2])
    owned = ops.reshape(owned, [batch, people * disc])

    # The score falls away from the centre, as that of a trained network does.
    away = cells - ops.repeat(centres, disc, axis=1)
    away2 = ops.sum(ops.square(ops.cast(away, "float32")), axis=-1)
    images = ops.tile(ops.arange(batch)[:, None], [1, people * disc])
    where = images, cells, (batch, *MAP_HW)
    score_map = targets.scatter_to_map(owned * (1 - 0.02 * away2), *where)
    keypoints = targets.keypoints_inside(keypoints_px, MAP_HW)
    points = ops.reshape(ops.repeat(keypoints[..., :2], disc, 1), [batch, -1, 17, 2])
    offsets = points - ops.cast(cells, "float32")[:, :, None]
    channels = [
        targets.scatter_to_map(owned * offsets[:, :, k, axis], *where)
        for k in range(17)
        for axis in range(2)
    ]
    offset_map = ops.reshape(ops.concatenate(channels, -1), [batch, *MAP_HW, 17, 2])

    scores, best = decode.top_cells(decode.local_maxima(score_map), 30)
    hop = take_cells(offset_map, best)
    poses = ops.cast(best, "float32")[:, :, None] + hop
    keep = decode.pose_nms(poses, scores)
    return decode.rank(scores, keep, poses * STRIDE, best)


@pytest.mark.slow
def test_perfect_maps_decode_to_the_ground_truth():
    keypoints, area = people_far_apart()
    scores, poses, cells = everywhere(detections, keypoints, area)
    np.testing.assert_array_equal((scores > 0).sum(1), [4, 1])
    np.testing.assert_array_equal(scores[0, :4], 1.0)
    expected = {tuple(c) for c in np.floor(keypoints[0, ..., :2].mean(1) / 4 + 0.5)}
    assert {tuple(cell) for cell in cells[0, :4]} == expected
    for pose in keypoints[0, ..., :2]:
        difference = np.abs(poses[0, :4] - pose).max(axis=(1, 2))
        assert difference.min() < 1e-4
    np.testing.assert_allclose(poses[1, 0], keypoints[1, 1, :, :2], atol=1e-4)

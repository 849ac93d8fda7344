import numpy as np

from qepose_tf.data.batches.people import select_people
from qepose_tf.ops.targets import centres


def test_selection_prefers_people_whose_centre_is_in_the_crop():
    inside, outside = [[30.0, 30, 2]] * 3, [[-9.0, 30, 2]] * 3
    keypoints = np.float32([outside, inside, [[20.0, 40, 2]] * 3])
    kept, area, discs = select_people(
        keypoints, np.float32([9e3, 1e3, 2e3]), np.array([True] * 3), 1, 16, 4.0
    )
    np.testing.assert_array_equal(area, [2e3])
    np.testing.assert_array_equal(kept[0], [[20, 40, 2]] * 3)
    assert discs.sum() == 45 and discs[8, 8]
    _, area, discs = select_people(
        keypoints[:0], np.zeros(0, np.float32), np.zeros(0, bool), 2, 16, 4.0
    )
    np.testing.assert_array_equal(area, [0, 0])
    assert not discs.any()


def test_people_are_as_the_targets_see_them():
    """Those who are left out: the discs that `ops.targets` would draw."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        keypoints = rng.uniform(-20, 84, (7, 5, 3)).astype(np.float32)
        keypoints[..., 2] = rng.integers(0, 3, (7, 5))
        area = rng.choice([0, 50, 70, 90], 7).astype(np.float32)
        large = area > 60
        kept, kept_area, discs = select_people(keypoints, area, large, 2, 16, 4.0)
        cells, valid = (
            np.array(t[0]) for t in centres(keypoints[None], area[None], (16, 16))
        )
        # Of equal areas the first.
        ranked = sorted(np.flatnonzero(valid & large), key=lambda n: (-area[n], n))[:2]
        np.testing.assert_array_equal(kept[: len(ranked)], keypoints[ranked])
        np.testing.assert_array_equal(kept_area[: len(ranked)], area[ranked])
        valid[ranked] = False
        for y, x in np.ndindex(16, 16):
            away2 = ((cells[valid] - [x, y]) ** 2).sum(axis=-1)
            assert discs[y, x] == (away2 < 16).any()

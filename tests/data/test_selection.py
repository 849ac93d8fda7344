import numpy as np
import tensorflow as tf

from qepose_tf.data.selection import select_people


def test_selection_prefers_people_whose_centre_is_in_the_crop():
    inside, outside = [[30.0, 30, 2]] * 3, [[-9.0, 30, 2]] * 3
    keypoints = tf.constant([outside, inside, [[20.0, 40, 2]] * 3])
    kept, area, discs = select_people(
        keypoints, tf.constant([9e3, 1e3, 2e3]), tf.constant([True] * 3), 1, 16, 4.0
    )
    np.testing.assert_array_equal(area, [2e3])
    np.testing.assert_array_equal(kept[0], [[20, 40, 2]] * 3)
    assert tf.reduce_sum(discs) == 45 and discs[8, 8, 0] == 1
    _, area, discs = select_people(
        keypoints[:0], tf.zeros([0]), tf.zeros([0], tf.bool), 2, 16, 4.0
    )
    np.testing.assert_array_equal(area, [0, 0])
    assert not discs.numpy().any()

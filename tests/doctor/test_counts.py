"""How many people, how large, and which keypoints are labelled."""

import numpy as np

from qepose_tf.doctor.counts import count
from qepose_tf.doctor.people import People, people_of


def test_counts_by_hand():
    visibility = np.array([[2, 1, 0], [2, 2, 0], [1, 0, 0]], float)
    keypoints = np.concatenate([np.ones((3, 3, 2)), visibility[..., None]], axis=-1)
    people = People(
        np.array([0, 0, 2]),
        keypoints,
        np.zeros((3, 4)),
        np.array([100.0, 1600.0, 6400.0]),  # sides 10, 40 and 80 px
        np.array([200.0, 200.0, 400.0]),  # of which 100 px show a half and a quarter
    )
    counts = count(people, 4, input_size=100, min_area=1024)
    assert (counts.pictures, counts.with_people, counts.people) == (4, 2, 3)
    assert counts.people_per_picture == {"0": 2, "1": 1, "2": 1}
    assert counts.sizes_px == {"0-8": 1, "8-16": 0, "16-32": 2}  # 5, 20 and 20 px
    assert counts.median_side_px == 20
    assert (counts.below_min_area, counts.few_cells) == (1, 1)
    assert counts.visible == [2, 1, 0]
    assert counts.hidden == [1, 1, 0]


def test_a_data_set_without_people():
    counts = count(people_of([], 5), 0, 512, 1024)
    assert (counts.people, counts.median_side_px, counts.sizes_px) == (0, None, {})
    assert counts.visible == [0] * 5

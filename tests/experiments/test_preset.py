"""How the score from which poses are shown is chosen."""

import numpy as np

from experiments.preset import least_score


def test_the_least_score_with_four_right_of_five_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.3])
    right = np.array([1, 1, 0, 1, 1, 0, 0], bool)
    # Above 0.5, which is wrong, 4 of 5 are right; in hundredths that is 0.51.
    assert least_score(scores, right) == 0.51


def test_nothing_is_shown_where_most_poses_are_wrong():
    assert least_score(np.array([0.9, 0.4]), np.zeros(2, bool)) == 1.0

import numpy as np
import pytest

from qepose_tf.images.drawing import LEFT, MIDDLE, RIGHT, draw_poses
from qepose_tf.skeleton import COCO, Skeleton

GREY = 128


def blank(height=200, width=160):
    return np.full((height, width, 3), GREY, np.uint8)


def changed(drawn):
    return (drawn != GREY).any(axis=-1)


def coco_pose(**points):
    """A pose of named keypoints, and which of the 17 they are."""
    pose = np.zeros((1, 17, 2))
    visible = np.zeros((1, 17), bool)
    for name, point in points.items():
        pose[0, COCO.keypoints.index(name)] = point
        visible[0, COCO.keypoints.index(name)] = True
    return pose, visible


def dots(count):
    return Skeleton(
        "dots", tuple(f"p{i}" for i in range(count)), (), (), (0.05,) * count
    )


def test_joints_and_limbs_have_the_colour_of_their_side():
    pose, visible = coco_pose(
        nose=(80, 20),
        left_shoulder=(120, 60),
        left_elbow=(120, 140),
        right_shoulder=(40, 60),
        right_elbow=(40, 140),
    )
    drawn = draw_poses(blank(), pose, [1.0], COCO, keypoint_visible=visible)
    assert tuple(drawn[60, 120]) == LEFT
    assert tuple(drawn[100, 120]) == LEFT  # the middle of the upper arm
    assert tuple(drawn[60, 40]) == RIGHT
    assert tuple(drawn[100, 40]) == RIGHT
    assert tuple(drawn[20, 80]) == MIDDLE
    assert tuple(drawn[60, 80]) == MIDDLE  # the limb from shoulder to shoulder


def test_a_keypoint_is_drawn_around_its_own_pixel():
    pose = np.array([[[31.0, 57.0]]])
    y, x = np.nonzero(changed(draw_poses(blank(), pose, [1.0], dots(1))))
    assert (x.min() + x.max()) / 2 == 31
    assert (y.min() + y.max()) / 2 == 57


def test_what_is_away_from_people_stays_as_it_was():
    image = np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8)
    before = image.copy()
    drawn = draw_poses(image, [[[20.0, 20.0]]], [1.0], dots(1))
    assert drawn.dtype == np.uint8 and drawn.shape == image.shape
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(drawn[40:, 40:], image[40:, 40:])
    assert (drawn[20, 20] != image[20, 20]).any()


def test_nothing_is_drawn_of_low_scores_and_hidden_or_unknown_keypoints():
    pose = np.full((1, 1, 2), 50.0)
    image = blank()
    for drawn in (
        draw_poses(image, pose, [0.19], dots(1)),
        draw_poses(image, pose, [float("nan")], dots(1)),
        draw_poses(image, pose, [1.0], dots(1), keypoint_visible=[[0]]),
        draw_poses(image, pose * np.nan, [1.0], dots(1)),
        draw_poses(image, np.zeros((0, 1, 2)), np.zeros(0), dots(1)),
    ):
        np.testing.assert_array_equal(drawn, image)
    assert changed(draw_poses(image, pose, [0.2], dots(1)))[50, 50]


def test_a_limb_needs_both_its_ends():
    pose, visible = coco_pose(left_shoulder=(40, 40), left_elbow=(40, 160))
    visible[0, COCO.keypoints.index("left_elbow")] = False
    drawn = draw_poses(blank(), pose, [1.0], COCO, keypoint_visible=visible)
    assert changed(drawn)[40, 40] and not changed(drawn)[100, 40]


def test_the_best_person_lies_on_top_and_people_differ_without_flip_pairs():
    poses = np.full((2, 1, 2), 50.0)
    first = draw_poses(blank(), poses[:1], [0.9], dots(1))[50, 50]
    both = draw_poses(blank(), poses, [0.9, 0.8], dots(1))[50, 50]
    swapped = draw_poses(blank(), poses, [0.8, 0.9], dots(1))[50, 50]
    np.testing.assert_array_equal(both, first)
    assert (swapped != first).any()


def test_133_keypoints_without_limbs_and_places_far_outside():
    poses = np.random.default_rng(1).uniform(10, 150, (2, 133, 2))
    poses[1] = 1e12
    drawn = draw_poses(blank(), poses, [0.9, 0.8], dots(133))
    for x, y in poses[0].round().astype(int):
        assert changed(drawn)[y, x]


def test_larger_people_get_thicker_lines():
    def thickness(length):
        pose, visible = coco_pose(left_hip=(80, 20), left_knee=(80, 20 + length))
        drawn = draw_poses(blank(600, 600), pose, [1.0], COCO, keypoint_visible=visible)
        return changed(drawn)[20 + length // 2].sum()

    assert thickness(40) < thickness(200) < thickness(500)


def test_the_label_stands_beside_the_person():
    pose = np.array([[[80.0, 100.0]]])
    plain = changed(draw_poses(blank(), pose, [0.87], dots(1)))
    labelled = changed(draw_poses(blank(), pose, [0.87], dots(1), label=True))
    assert not plain[:90].any() and labelled[:90].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (5000, 3)])
def test_images_of_any_size(size):
    drawn = draw_poses(blank(*size), [[[0.0, 0.0]]], [1.0], dots(1))
    assert drawn.shape == (*size, 3) and changed(drawn)[0, 0]


@pytest.mark.parametrize(
    ("image", "poses", "visible", "message"),
    [
        (np.zeros((9, 9)), np.zeros((1, 17, 2)), None, r"\[H, W, 3\] uint8"),
        (np.zeros((9, 9, 3)), np.zeros((1, 17, 2)), None, "got .* float64"),
        (blank(), np.zeros((1, 16, 2)), None, r"expected \(1, 17, 2\)"),
        (blank(), np.zeros((2, 17, 2)), None, r"got \(2, 17, 2\)"),
        (blank(), np.zeros((1, 17, 2)), np.ones(17), r"expected shape \(1, 17\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(image, poses, visible, message):
    with pytest.raises(ValueError, match=message):
        draw_poses(image, poses, [1.0], COCO, keypoint_visible=visible)

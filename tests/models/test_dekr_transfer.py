"""DEKR models that start from others."""

import keras
import numpy as np
import pytest

from qepose_tf.models import DEKR, PoseEstimator
from qepose_tf.models.transfer import transfer
from qepose_tf.skeleton import COCO, Skeleton
from tests.models.transfer_checks import (
    check_keypoint_axes,
    check_same_poses,
    head,
    with_noise,
)

pytestmark = pytest.mark.usefixtures("micro_body")
SMALL = {
    "backbone": "tiny",
    "input_size": 64,
    "head": {"heatmap_channels": 8, "keypoint_channels": 4},
}
PETS = Skeleton("pets", ("tail", "Left-Shoulder", "nose"), (), (), (0.1, 0.08, 0.03))


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(3)
    return with_noise(DEKR(COCO, **SMALL))


def test_the_axes_are_those_that_differ_between_numbers_of_keypoints():
    check_keypoint_axes(lambda skeleton: DEKR(skeleton, **SMALL))


def test_the_same_keypoints_give_the_same_poses(trained):
    check_same_poses(trained, DEKR(COCO, **SMALL))


def test_keypoints_of_the_same_name_take_their_part_and_the_centre_stays(trained):
    keras.utils.set_random_seed(5)
    target = DEKR(PETS, **SMALL)
    before = {path: v.numpy() for path, v in head(target).items()}
    report = transfer(trained, target)
    assert report.taken == ("Left-Shoulder", "nose") and report.fresh == ("tail",)
    assert report.left == ()
    source, found = head(trained), head(target)
    shoulder = COCO.keypoints.index("left_shoulder")
    for path in ("head_heatmap_1/kernel", "head_heatmap_1/bias"):
        old, new = source[path].numpy(), found[path].numpy()
        np.testing.assert_array_equal(new[..., 1], old[..., shoulder])
        np.testing.assert_array_equal(new[..., 2], old[..., 0])
        np.testing.assert_array_equal(new[..., -1], old[..., -1])  # the centre
        np.testing.assert_array_equal(new[..., 0], before[path][..., 0])
    path = "transition_offset_0/kernel"
    old, new = source[path].numpy(), found[path].numpy()
    np.testing.assert_array_equal(new[..., 4:8], old[..., 4 * shoulder :][..., :4])
    np.testing.assert_array_equal(new[..., :4], before[path][..., :4])
    path = "decoder/encoding/block_1/affine/kernel"
    np.testing.assert_array_equal(
        found[path].numpy()[1], source[path].numpy()[shoulder]
    )


def test_a_file_of_another_network_is_refused(trained, tmp_path):
    trained.save(tmp_path / "dekr.keras")
    with pytest.raises(ValueError, match=r"dekr\.keras: expected a PoseEstimator, got"):
        PoseEstimator.from_preset(tmp_path / "dekr.keras")
    started = DEKR.from_preset(tmp_path / "dekr.keras", skeleton=PETS)
    assert started.skeleton == PETS and started.head_settings.keypoint_channels == 4
    with pytest.raises(ValueError, match="expected a DEKR to start from, got a Pose"):
        transfer(PoseEstimator(COCO, backbone="tiny", input_size=64), trained)

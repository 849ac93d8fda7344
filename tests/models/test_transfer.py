"""Models that start from others: what is taken, part by part, and what is refused."""

import keras
import numpy as np
import pytest

from qepose_tf.models import PoseEstimator
from qepose_tf.models.settings import POSE_QUERIES
from qepose_tf.models.transfer import transfer
from qepose_tf.skeleton import COCO, Skeleton

from .transfer_checks import check_keypoint_axes, check_same_poses, head, with_noise

pytestmark = pytest.mark.usefixtures("shallow_body")

# In another order than COCO's, with other spelling, and two points that it lacks.
DOG = Skeleton(
    "dog",
    ("tail", "Left-Shoulder", "nose", "withers"),
    (),
    (),
    (0.1, 0.08, 0.03, 0.1),
)
SMALL = {"backbone": "tiny", "input_size": 64, "head": {"keypoint_channels": 4}}


@pytest.fixture(scope="module")
def trained():
    """A model whose weights, statistics among them, are all different."""
    keras.utils.set_random_seed(3)
    return with_noise(PoseEstimator(COCO, **SMALL))


@pytest.mark.parametrize("query", POSE_QUERIES)
def test_the_axes_are_those_that_differ_between_numbers_of_keypoints(query):
    settings = SMALL | {"head": {"keypoint_channels": 4, "pose_query": query}}
    check_keypoint_axes(lambda skeleton: PoseEstimator(skeleton, **settings))


def test_the_same_keypoints_give_the_same_poses(trained):
    check_same_poses(trained, PoseEstimator(COCO, **SMALL))


def test_keypoints_of_the_same_name_take_their_part_and_others_begin_new(trained):
    keras.utils.set_random_seed(5)
    target = PoseEstimator(DOG, **SMALL)
    before = {path: v.numpy() for path, v in head(target).items()}
    report = transfer(trained, target)
    assert report.taken == ("Left-Shoulder", "nose")
    assert report.fresh == ("tail", "withers")
    source, found = head(trained), head(target)
    shoulder = COCO.keypoints.index("left_shoulder")

    # Four channels for each keypoint, one after the other, in the last axis.
    path = "keypoint_query/representation/kernel"
    columns = slice(4 * shoulder, 4 * shoulder + 4)
    np.testing.assert_array_equal(found[path][..., 4:8], source[path][..., columns])
    np.testing.assert_array_equal(found[path][..., 8:12], source[path][..., :4])
    np.testing.assert_array_equal(found[path][..., :4], before[path][..., :4])
    np.testing.assert_array_equal(found[path][..., 12:], before[path][..., 12:])

    path = "decoder/keypoint_query_encoding/semantic_offset/kernel"
    np.testing.assert_array_equal(found[path][1], source[path][shoulder])
    np.testing.assert_array_equal(found[path][2], source[path][0])
    np.testing.assert_array_equal(found[path][0], before[path][0])

    path = "pose_query_encoding/kernel"
    channels = found[path].shape[0] // 4
    rows = slice(channels * shoulder, channels * (shoulder + 1))
    np.testing.assert_array_equal(
        found[path][channels : 2 * channels], source[path][rows]
    )
    for path in ("score/kernel", "instance_conv/kernel", "instance_bn/moving_mean"):
        np.testing.assert_array_equal(found[path], source[path])
    for own, other in zip(target.body.weights, trained.body.weights, strict=True):
        np.testing.assert_array_equal(own, other)


def test_another_head_keeps_what_fits_and_names_what_does_not(trained):
    wider = SMALL | {"head": {"keypoint_channels": 6}}
    report = transfer(trained, PoseEstimator(COCO, **wider))
    assert "keypoint_query/representation/kernel" in report.left
    assert "score/kernel" not in report.left
    assert f"{len(report.left)} weights of another shape begin new" in str(report)


def test_another_backbone_is_refused_before_anything_is_copied(trained):
    target = PoseEstimator(COCO, **(SMALL | {"backbone": "efficientnet_lite0"}))
    before = [value.numpy() for value in target.weights]
    with pytest.raises(ValueError, match="expected the backbone .* tiny, got effic"):
        transfer(trained, target)
    for value, former in zip(target.weights, before, strict=True):
        np.testing.assert_array_equal(value, former)


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "trained.keras"
    trained.save(path)
    return path


def test_from_preset_takes_a_file_and_changes(file, trained, caplog):
    same = PoseEstimator.from_preset(file)
    assert same.get_config() == trained.get_config()
    with caplog.at_level("INFO"):
        other = PoseEstimator.from_preset(
            file, skeleton=DOG, input_size=128, decoder={"nms_distance": 0.1}
        )
    assert other.skeleton == DOG and other.input_size == 128
    assert other.decoder_settings.nms_distance == 0.1
    assert other.decoder_settings.max_detections == 30
    assert other.head_settings == trained.head_settings
    assert "tail, withers begin new" in caplog.text


def test_from_preset_names_what_is_wrong(file):
    with pytest.raises(ValueError, match="skelton: expected an argument of PoseEst"):
        PoseEstimator.from_preset(file, skelton=DOG)
    with pytest.raises(FileNotFoundError, match="peple: expected .* or one of: people"):
        PoseEstimator.from_preset("peple")
    with pytest.raises(ValueError, match="expected the backbone"):
        PoseEstimator.from_preset(file, backbone="efficientnet_lite0")

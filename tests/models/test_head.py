"""The head's parts, one by one."""

import keras
import numpy as np
import pytest

from qepose_tf.models.complexity import trainable_params
from qepose_tf.models.head import ranking
from qepose_tf.models.pose_estimator import TRAINING_ONLY, PoseEstimator
from qepose_tf.models.settings import POSE_QUERIES
from tests.backends import to_numpy
from tests.models.conftest import PAIR, random_images

pytestmark = pytest.mark.usefixtures("shallow_body")


def test_one_hop_takes_its_query_for_the_keypoint():
    model = PoseEstimator(
        PAIR,
        "tiny",
        64,
        head={"keypoint_channels": 4, "keypoint_query_encoding": False},
    )
    outputs = to_numpy(model(random_images(1, 64, 64)))
    (rows,) = np.nonzero(outputs["scores"][0])
    for row in rows:
        x, y = outputs["cells"][0, row]
        pose = 4 * (outputs["query_offsets"][0, y, x] + [x, y])
        np.testing.assert_allclose(outputs["poses"][0, row], pose, atol=1e-3)


def test_the_quality_branch_ranks_by_the_product():
    keras.utils.set_random_seed(1)
    model = PoseEstimator(PAIR, "tiny", 64, head={"quality_branch": True})
    for name in ("score", "quality"):
        kernel, bias = model.get_layer(name).weights
        kernel.assign(kernel * 0.02)
        bias.assign(bias + 0.6)
    outputs = to_numpy(model(random_images(1, 64, 64)))
    (rows,) = np.nonzero(outputs["scores"][0])
    assert len(rows)
    for row in rows:
        x, y = outputs["cells"][0, row]
        factors = [outputs[f"{name}_map"][0, y, x, 0] for name in ("score", "quality")]
        expected = np.prod(np.clip(factors, 0, 1))
        assert outputs["scores"][0, row] == pytest.approx(expected, rel=1e-5)
    assert "quality_map" not in TRAINING_ONLY


def test_ranking_clips_before_it_multiplies():
    scores, quality = np.float32([-1, 0.5, 2, 2]), np.float32([-1, 0.5, 0.5, 7])
    found = to_numpy(ranking(scores, quality))
    np.testing.assert_array_equal(found, np.float32([0, 0.25, 0.5, 1]))
    np.testing.assert_array_equal(to_numpy(ranking(scores)), [0, 0.5, 1, 1])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"head": {"pose_query": "corners"}}, "pose_query of .*got 'corners'"),
        (
            {"head": {"pose_query": "semantic_points", "semantic_points": 0}},
            "semantic_points > 0",
        ),
        (
            {
                "head": {
                    "pose_query": "semantic_points",
                    "keypoint_query_encoding": False,
                }
            },
            "expected keypoint_query_encoding",
        ),
        ({"loss": {"instance_label": "oks"}}, "label of .*got 'oks'"),
        ({"head": {"channels": 4}}, "head: unknown setting 'channels', expected"),
        ({"decoder": 5}, "decoder: expected DecoderSettings or a dict, got 5"),
    ],
)
def test_what_has_no_meaning_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PoseEstimator(PAIR, "tiny", 64, **settings)


@pytest.mark.slow
def test_the_parts_cost_what_they_should():
    """At W = 16: K = 2, 4 channels of R_k, 8 of R_I."""
    small = dict(keypoint_channels=4, instance_channels=8, semantic_points=2)

    def params(**settings):
        return trainable_params(PoseEstimator(PAIR, "tiny", 64, head=small | settings))

    full = params()
    # q to q', aggregate with its norm, q to k
    kqe = 2 * (4 * 4 + 4) + 2 * (4 * 4 + 2 * 4) + 2 * (4 * 2 + 2)
    assert full - params(keypoint_query_encoding=False) == kqe
    # K * 8 rows of the kernel become 8
    assert full - params(pose_query="none") == 8 * 16
    assert params(quality_branch=True) - full == 16 * 16 + 2 * 16 + 16 + 1
    assert params(pose_query="automatic") - full == 8 * 4 + 4
    assert params(pose_query="keypoints") == params(pose_query="semantic_points")
    assert set(POSE_QUERIES) >= {"queries", "none"}

"""What the metadata of an exported file say of its scores."""

import pytest

from qepose_tf.exporting.pose_json import describe
from qepose_tf.models import DEKR, PoseEstimator
from tests.models.conftest import PAIR

pytestmark = pytest.mark.usefixtures("micro_body")


@pytest.mark.parametrize(
    ("kind", "meaning"), [(PoseEstimator, "predicted OKS"), (DEKR, "the centre's heat")]
)
def test_scores_are_what_the_network_predicts(kind, meaning):
    described = describe(kind(PAIR, backbone="tiny", input_size=64), "fp32")
    assert described["outputs"]["scores"].startswith(f"float32 [B, P], {meaning}")

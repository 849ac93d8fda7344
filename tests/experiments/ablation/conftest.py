import pytest

from qepose_tf.models.hrnet import VARIANTS
from tests.micro_body import MICRO


@pytest.fixture
def micro(monkeypatch):
    """What is tested here is the head."""
    monkeypatch.setitem(VARIANTS, "micro", MICRO)
    return dict(backbone="micro", head={"keypoint_channels": 4, "instance_channels": 8})

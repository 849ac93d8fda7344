import pytest

from qepose_tf.models.hrnet import VARIANTS, Variant


@pytest.fixture
def micro(monkeypatch):
    """A backbone of four branches and no blocks: what is tested here is the head."""
    variant = Variant(width=4, stem=4, bottleneck=4, bottlenecks=1, modules=(0, 0, 0))
    monkeypatch.setitem(VARIANTS, "micro", variant)
    return dict(backbone="micro", keypoint_channels=4, instance_channels=8)

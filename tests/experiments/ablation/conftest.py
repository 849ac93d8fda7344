import pytest

from qepose_tf.models.hrnet import VARIANTS
from tests.exporting.answering_process import answering_process
from tests.micro_body import MICRO


@pytest.fixture
def micro(monkeypatch):
    """What is tested here is the head."""
    monkeypatch.setitem(VARIANTS, "micro", MICRO)
    return dict(backbone="micro", head={"keypoint_channels": 4, "instance_channels": 8})


@pytest.fixture(scope="module")
def one_process():
    """Runs all SavedModels that are written, for each start imports TensorFlow."""
    with answering_process() as waiting, pytest.MonkeyPatch.context() as patch:
        patch.setattr("qepose_tf.exporting.exporter.waiting_process", waiting)
        yield

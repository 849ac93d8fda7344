import keras
import pytest

from qepose_tf.inference.predictor import Predictor
from qepose_tf.models import PoseEstimator
from qepose_tf.skeleton import COCO
from tests.models.conftest import moderate


@pytest.fixture(scope="module", autouse=True)
def small_body(shallow_body):
    """What is tested here is not the body."""


@pytest.fixture(scope="module")
def predictor(small_body):
    """An untrained model that always finds three people."""
    keras.utils.set_random_seed(0)
    settings = {"score_threshold": 0.0, "max_detections": 3}
    model = PoseEstimator(COCO, "tiny", input_size=64, decoder=settings)
    return Predictor(moderate(model), batch_size=4, min_score=0.0)

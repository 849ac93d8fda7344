import keras
import pytest

from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import COCO


@pytest.fixture(scope="session")
def model():
    """An untrained model whose scores and displacements are as moderate as learnt."""
    keras.utils.set_random_seed(0)
    model = PoseEstimator(COCO, backbone="tiny", input_size=128)
    kernel, bias = model.get_layer("score").weights
    kernel.assign(kernel * 0.02)
    bias.assign(bias + 0.3)
    return model

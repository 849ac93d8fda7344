import keras
import pytest

from qepose_tf.exporting import Exporter
from qepose_tf.images.drawn_image import made_image
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


@pytest.fixture(scope="session")
def exporter(model):
    """Of images 128 x 96, with some to calibrate on."""
    images = [made_image(150, 110, seed) for seed in range(8)]
    with Exporter(model, height=128, width=96, calibration=images) as exporter:
        yield exporter

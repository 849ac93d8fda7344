import io

import keras
import pytest
from PIL import Image

from qepose_tf.benchmark.settled import settled_model
from qepose_tf.images.drawn_image import made_image
from qepose_tf.models import PoseEstimator
from qepose_tf.skeleton import COCO


@pytest.fixture(scope="package")
def pictures():
    """Of different sizes, none the network's."""
    return [made_image(90 + 20 * seed, 130, seed) for seed in range(3)]


@pytest.fixture(scope="package")
def contents(pictures):
    """The same as files."""
    files = {}
    for number, picture in enumerate(pictures):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        files[f"{number}.png"] = file.getvalue()
    return files


@pytest.fixture(scope="package")
def model(pictures):
    return settled_model(COCO, {"backbone": "tiny", "input_size": 64}, pictures)


@pytest.fixture(scope="package")
def model_file(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("benchmark") / "model.keras"
    model.save(file)
    return file


@pytest.fixture
def other_heads():
    """Every head of the paper's tables but the usual one."""

    def build(**head):
        keras.utils.set_random_seed(0)
        return PoseEstimator(COCO, backbone="tiny", input_size=64, head=head)

    return build

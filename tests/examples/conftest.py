import functools
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from qepose_tf.exporting import Exporter
from qepose_tf.images.drawn_image import made_image
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import COCO
from tests.micro_body import SHALLOW
from tests.models.conftest import moderate

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = {
    "saved_model": "pose/1",
    "tflite": "pose.tflite",
    "onnx": "pose.onnx",
    "openvino": "pose_openvino",
}


@pytest.fixture(scope="session")
def model():
    """Untrained, with moderate scores; clients run whatever body there is."""
    keras.utils.set_random_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", SHALLOW)
        return moderate(PoseEstimator(COCO, backbone="tiny", input_size=128), 0.2)


@pytest.fixture(scope="session")
def exported(model, answering, tmp_path_factory):
    """The path of the model's export in a format; each is written once."""
    folder = tmp_path_factory.mktemp("exported")
    with Exporter(model) as exporter, pytest.MonkeyPatch.context() as patch:
        patch.setattr("qepose_tf.exporting.exporter.waiting_process", answering)

        @functools.cache
        def path(format: str) -> Path:
            exporter.write(format, folder / NAMES[format])
            return folder / NAMES[format]

        yield path


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Pictures by name, as their files hold them; none has the network's size."""
    folder = tmp_path_factory.mktemp("photos")
    sizes = {"wide.png": (150, 220), "tall.png": (97, 61), "turned.png": (140, 90)}
    pictures = {}
    for seed, (name, size) in enumerate(sizes.items()):
        pictures[name] = made_image(*size, seed)
        exif = Image.Exif()
        if name == "turned.png":
            exif[274] = 6  # the camera's orientation: a quarter turn
        Image.fromarray(pictures[name]).save(folder / name, exif=exif)
    return folder, pictures


def turned(picture: np.ndarray) -> np.ndarray:
    """The picture as EXIF orientation 6 has it shown."""
    return np.ascontiguousarray(np.rot90(picture, -1))

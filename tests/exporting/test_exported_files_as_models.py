"""Every file that is written is a model for `Predictor`, with the same poses."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from qepose_tf.exporting.served_graph import detect
from qepose_tf.images.drawn_image import made_image
from qepose_tf.inference.exported_model import ExportedModel
from qepose_tf.inference.model_files import is_model
from qepose_tf.inference.predictor import Predictor
from qepose_tf.skeleton import COCO

pytestmark = pytest.mark.slow
FILES = {"tflite": "pose.tflite", "onnx": "pose.onnx", "openvino": "pose"}
PICTURE = made_image(128, 96, 3)
# A process of its own: this one has imported TensorFlow.
ALONE = """
import sys
from qepose_tf.cli import main
code = main(sys.argv[1:])
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
sys.exit(code)
"""


@pytest.fixture(scope="module", params=FILES)
def file(request, exporter, tmp_path_factory):
    if request.param != "tflite":
        pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
        pytest.importorskip("openvino", reason="OpenVINO is not installed")
    path = tmp_path_factory.mktemp("files") / FILES[request.param]
    exporter.write(request.param, path)
    return path


def test_a_predictor_gives_the_models_poses(file, model):
    expected = {k: v.numpy() for k, v in detect(model, PICTURE[None]).items()}
    (found,) = Predictor(str(file), min_score=0.0)([PICTURE])
    here = expected["scores"][0] > 0
    assert len(found) == here.sum() > 5
    np.testing.assert_allclose(found.scores, expected["scores"][0][here], atol=1e-4)
    np.testing.assert_allclose(found.poses, expected["poses"][0][here], atol=0.05)


def test_the_file_says_what_it_is(file):
    assert is_model(str(file))
    model = ExportedModel(file)
    assert model.skeleton == COCO
    assert (model.input_hw, model.precision) == ((128, 96), "fp32")


@pytest.mark.parametrize(
    "options", [{"flip": True}, {"scales": (1, 2)}, {"short_side": 64}]
)
def test_what_was_decided_at_the_export_is_refused(file, options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}: .* looks at an image as it was"):
        Predictor(str(file), **options)


def test_the_command_needs_no_tensorflow(file, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    words = ["predict", file, tmp_path / "a.png", "--out", tmp_path / "out"]
    ended = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, words)], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out/results.json").is_file()

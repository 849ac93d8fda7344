import ast
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from qepose_tf.exporting.checks.reference import keras_any_size, keras_fixed_size
from qepose_tf.exporting.pose_json import fill_colour
from qepose_tf.images.letterbox import fit_inside, original_points
from tests.examples.conftest import EXAMPLES, turned

pytestmark = pytest.mark.slow

# What each client may import beside the standard library.
PACKAGES = {
    "saved_model": {"tensorflow"},
    "tflite": {"ai_edge_litert", "numpy", "PIL"},
    "onnx": {"onnxruntime", "numpy", "PIL"},
    "openvino": {"openvino", "numpy", "PIL"},
}
CLIENTS = {
    name: EXAMPLES / f"{'litert' if name == 'tflite' else name}_client.py"
    for name in PACKAGES
}
# An editable installation would let a client import the package unnoticed.
WITHOUT_US = """
import runpy, sys
sys.modules["qepose_tf"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(format, *arguments, cwd):
    """The client in a process of its own, far from the repository."""
    words = [sys.executable, "-I", "-c", WITHOUT_US, CLIENTS[format], *arguments]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd)


@pytest.fixture(params=PACKAGES)
def format(request):
    for package in PACKAGES[request.param]:
        pytest.importorskip(package)
    if request.param == "onnx":
        pytest.importorskip("tf2onnx")
    return request.param


def test_imports(format):
    tree = ast.parse(CLIENTS[format].read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.split(".")[0])
    assert found - sys.stdlib_module_names == PACKAGES[format]


def expected_people(model, format, picture):
    """The Keras model's, behind the letterbox of the format."""
    if format == "saved_model":
        found = keras_any_size(model)(picture[None])
        poses = found["poses"][0]
    else:
        side = model.input_size
        boxed, scale = fit_inside(picture, side, side, fill_colour(model))
        found = keras_fixed_size(model)(boxed[None])
        poses = original_points(found["poses"][0], scale)
    return poses[found["scores"][0] > 0], found["scores"][0][found["scores"][0] > 0]


def test_prints_the_people_of_the_keras_model(model, exported, photos, format):
    folder, pictures = photos
    ended = run(format, exported(format), *pictures, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line["image"] for line in lines] == list(pictures)
    for line, (name, picture) in zip(lines, pictures.items(), strict=True):
        if name == "turned.png" and format != "saved_model":
            picture = turned(picture)
        poses, scores = expected_people(model, format, picture)
        people = line["people"]
        assert len(people) == len(poses) > 5
        printed = [person["score"] for person in people]
        np.testing.assert_allclose(printed, scores, atol=1e-3)
        assert printed == sorted(printed, reverse=True)
        for person in people:
            assert tuple(person["keypoints"]) == model.skeleton.keypoints
            pose = np.array(list(person["keypoints"].values()))
            # equal scores may come in either order
            assert np.abs(poses - pose).max(axis=(1, 2)).min() < 1


def test_a_model_that_is_none_of_ours(format, tmp_path):
    foreign = tmp_path / "foreign"
    if format == "tflite":
        with zipfile.ZipFile(foreign, "w") as archive:
            archive.writestr("labels.txt", "person")
    elif format == "onnx":
        foreign.write_text("no model")
    else:
        foreign.mkdir()
    (tmp_path / "photo.jpg").write_text("never read")
    for model in ("missing", "foreign"):
        ended = run(format, model, "photo.jpg", cwd=tmp_path)
        assert ended.returncode == 1
        assert not ended.stdout
        (line,) = ended.stderr.splitlines()
        assert line.startswith(f"{model}: expected ")


def test_a_photo_that_is_missing_or_broken(exported, photos, format, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    good = photos[0] / "tall.png"
    # TensorFlow takes too long to start for both
    bad = ("text.jpg",) if format == "saved_model" else ("text.jpg", "missing.jpg")
    for photo in bad:
        ended = run(format, exported(format), good, photo, "later.jpg", cwd=tmp_path)
        assert ended.returncode == 1
        assert json.loads(ended.stdout)["image"] == str(good)
        assert ended.stderr.splitlines()[-1].startswith(f"{photo}: expected a ")
        assert "Traceback" not in ended.stderr

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
# The same in forks of a process that has TensorFlow, whose import takes longer than
# the client. Each line on stdin: arguments, working directory, files for its output.
FORKS = """
import json, os, runpy, sys, tensorflow
sys.modules["qepose_tf"] = None
for line in sys.stdin:
    arguments, folder, files = json.loads(line)
    child = os.fork()
    if not child:
        for stream, file in enumerate(files, start=1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.chdir(folder)
        sys.argv = arguments
        runpy.run_path(sys.argv[0], run_name="__main__")
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a client in a process of its own, far from the repository."""
    files = [tmp_path_factory.mktemp("shown") / name for name in ("out", "err")]
    pipe = subprocess.PIPE
    words = [sys.executable, "-I", "-c", FORKS]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as forks:

        def forked(words, cwd):
            request = [list(map(str, words)), str(cwd), list(map(str, files))]
            forks.stdin.write(json.dumps(request) + "\n")
            forks.stdin.flush()
            code = int(forks.stdout.readline())
            shown = (file.read_text() for file in files)
            return subprocess.CompletedProcess(words, code, *shown)

        def run(format, *arguments, cwd):
            words = [CLIENTS[format], *arguments]
            if format == "saved_model":
                return forked(words, cwd)
            words = [sys.executable, "-I", "-c", WITHOUT_US, *words]
            return subprocess.run(words, capture_output=True, text=True, cwd=cwd)

        yield run
        forks.kill()


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


def test_prints_the_people_of_the_keras_model(run, model, exported, photos, format):
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


def test_a_model_that_is_none_of_ours(run, format, tmp_path):
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


def test_a_photo_that_is_missing_or_broken(run, exported, photos, format, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    good = photos[0] / "tall.png"
    for photo in ("text.jpg", "missing.jpg"):
        ended = run(format, exported(format), good, photo, "later.jpg", cwd=tmp_path)
        assert ended.returncode == 1
        assert json.loads(ended.stdout)["image"] == str(good)
        assert ended.stderr.splitlines()[-1].startswith(f"{photo}: expected a ")
        assert "Traceback" not in ended.stderr

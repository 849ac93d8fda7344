"""timm's HRNet and ours, with the same weights, make the same maps at every stage."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import COCO
from qepose_tf.weights import import_weights
from tests.backends import to_numpy

ROOT = Path(__file__).parents[2]
MISSING = [
    name
    for name in ("torch", "torchvision", "timm")
    if importlib.util.find_spec(name) is None
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"needs {', '.join(MISSING)}; make install-timm installs them",
    ),
]
FILES = ("zip.pth", "legacy.pth", "timm.safetensors")
SIZES = ("64x64", "96x160")
TOLERANCE = 1e-4


def written_by_timm(name, folder, *files):
    """The folder, with what `timm_features` writes."""
    module = "tests.weights.timm_features"
    done = subprocess.run(
        [sys.executable, "-m", module, name, str(folder), *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def w18(tmp_path_factory):
    return written_by_timm("hrnet_w18", tmp_path_factory.mktemp("w18"), *FILES)


def our_layers(variant):
    """timm's name of each map -> the name of our layer that makes it."""
    row = VARIANTS[variant]
    names = {
        "layer1/0": f"layer1_{row.bottlenecks - 1}_relu",
        "transition1.0/0": "transition1_0_1_relu",
        "transition1.1/0": "transition1_1_0_1_relu",
        "transition2.2/0": "transition2_2_0_1_relu",
        "transition3.3/0": "transition3_3_0_1_relu",
    }
    for stage, modules in enumerate(row.modules, start=2):
        for i in range(stage):
            last = f"stage{stage}_{modules - 1}_fuse_layers_{i}_relu"
            names[f"stage{stage}/{i}"] = last
    return names


def largest_differences(body, variant, file):
    """By map: largest difference relative to the map's largest value."""
    layers = our_layers(variant)
    stages = keras.Model(
        body.input, {key: body.get_layer(name).output for key, name in layers.items()}
    )
    with np.load(file) as theirs:
        assert set(theirs.files) == {"images", *layers}
        ours = to_numpy(stages(theirs["images"], training=False))
        for key, value in ours.items():
            assert value.shape == theirs[key].shape, key
            assert np.ptp(theirs[key]) > 0.1, key
        return {
            key: float(np.abs(value - theirs[key]).max() / np.abs(theirs[key]).max())
            for key, value in ours.items()
        }


@pytest.fixture(scope="module")
def w18_model():
    return PoseEstimator(COCO, backbone="w18", input_size=64)


@pytest.mark.parametrize("file", FILES)
def test_each_file_format_brings_the_same_weights(w18, w18_model, file):
    report = import_weights(w18 / file, w18_model)
    assert report.source == "HRNet classification"
    assert report.kept_at_initial == []
    assert report.tensors_used == len(w18_model.body.variables)
    with np.load(w18 / "64x64.npz") as theirs:
        outputs = to_numpy(w18_model.body(theirs["images"], training=False))
        for i, output in enumerate(outputs):
            expected = theirs[f"stage4/{i}"]
            error = np.abs(output - expected).max() / np.abs(expected).max()
            assert error < TOLERANCE


def test_pytorch_is_not_imported(forks, w18):
    """In a process of its own: here other libraries may have imported it."""
    code = (
        "import sys; from qepose_tf.weights import import_weights;"
        "from qepose_tf.weights.state_dict import read_checkpoint;"
        "[read_checkpoint(file) for file in sys.argv[1:]];"
        "sys.exit('torch' in sys.modules)"
    )
    files = [str(w18 / file) for file in FILES]
    assert forks.start("-c", code, *files).wait() == 0


@pytest.mark.parametrize("size", SIZES)
def test_every_stage_of_w18(w18, w18_model, size):
    import_weights(w18 / "legacy.pth", w18_model)
    differences = largest_differences(w18_model.body, "w18", w18 / f"{size}.npz")
    assert max(differences.values()) < TOLERANCE, differences


@pytest.mark.parametrize("variant", ["w32", "w48"])
def test_every_stage_of_the_papers_bodies(variant, tmp_path):
    written_by_timm(f"hrnet_{variant}", tmp_path, "zip.pth")
    model = PoseEstimator(COCO, backbone=variant, input_size=64)
    import_weights(tmp_path / "zip.pth", model)
    for size in SIZES:
        differences = largest_differences(model.body, variant, tmp_path / f"{size}.npz")
        assert max(differences.values()) < TOLERANCE, differences

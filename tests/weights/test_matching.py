"""Which tensors of which public checkpoints are used, and what is said of the rest."""

import math

import ml_dtypes
import numpy as np
import pytest

from qepose_tf.models.hrnet import hrnet
from qepose_tf.weights.matching import match_tensors
from tests.backends import to_numpy
from tests.weights import torch_shapes
from tests.weights.torch_shapes import random_tensors, trainable

LOWER_ROWS = "stage4.0.fuse_layers.1.0.0.0.weight"


@pytest.fixture(scope="module")
def body():
    return hrnet("tiny")


@pytest.fixture
def tensors():
    return random_tensors(torch_shapes.body("tiny"))


def assert_complete(match, tensors, body):
    """Each tensor and each weight is in exactly one list."""
    unused = sum(map(len, match.unused.values()))
    assert len(match.values) + unused == len(tensors)
    assert len(match.values) + len(match.kept) == len(body.variables)
    assert len({id(variable) for variable, _ in match.values}) == len(match.values)
    for variable, value in match.values:
        assert tuple(variable.shape) == value.shape
        assert value.dtype == np.float32


@pytest.mark.parametrize(
    "head, source, groups",
    [
        (lambda variant: {}, "HRNet body", set()),
        (torch_shapes.pose_head, "HRNet pose", {"final_layer"}),
        (
            torch_shapes.classifier,
            "HRNet classification",
            {"incre_modules", "downsamp_modules", "final_layer", "classifier"},
        ),
        (
            torch_shapes.dekr_head,
            "DEKR",
            {
                *("transition_heatmap", "head_heatmap", "transition_offset"),
                *("offset_feature_layers", "offset_final_layer"),
            },
        ),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.backbone."])
def test_sources_and_prefixes(body, head, source, groups, prefix):
    shapes = torch_shapes.body("tiny") | head("tiny")
    tensors = {prefix + name: v for name, v in random_tensors(shapes).items()}
    match = match_tensors(tensors, body)
    assert_complete(match, tensors, body)
    assert match.source == source
    assert set(match.unused) == groups | {"num_batches_tracked"}
    assert match.kept == []


def test_checkpoints_of_mmpose(body):
    shapes = torch_shapes.body("tiny", multi_scale=False)
    tensors = {f"backbone.{k}": v for k, v in random_tensors(shapes).items()}
    tensors["head.final_layer.weight"] = np.ones((17, 16, 1, 1), "<f4")
    match = match_tensors(tensors, body)
    assert_complete(match, tensors, body)
    assert match.source == "mmpose"
    assert match.unused["head"] == ["head.final_layer.weight"]


def test_imagenet_checkpoints_of_the_pose_project(body, tensors):
    heads = ["head.0.0.0.conv1.weight", "head.1.0.1.bias", "fc.weight", "fc.bias"]
    tensors |= {name: np.ones(3, "<f4") for name in heads}
    match = match_tensors(tensors, body)
    assert_complete(match, tensors, body)
    assert match.source == "HRNet classification"
    assert match.unused["head"] + match.unused["fc"] == heads


def test_tensors_of_before_num_batches_tracked(body, tensors):
    old = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    assert match_tensors(old, body).unused == {}


def test_kernels_are_turned_and_norms_renamed(body, tensors):
    match = match_tensors(tensors, body)
    found = {id(variable): value for variable, value in match.values}
    kernel = tensors["stage4.0.fuse_layers.3.0.1.0.weight"]
    layer = body.get_layer("stage4_0_fuse_layers_3_0_1_0")
    turned = found[id(layer.kernel)]
    assert turned[2, 0, 5, 11] == kernel[11, 5, 2, 0]
    layer, name = body.get_layer("layer1_0_downsample_1"), "layer1.0.downsample.1"
    for ours, theirs in (
        (layer.gamma, "weight"),
        (layer.beta, "bias"),
        (layer.moving_mean, "running_mean"),
        (layer.moving_variance, "running_var"),
    ):
        np.testing.assert_array_equal(found[id(ours)], tensors[f"{name}.{theirs}"])


def test_matching_changes_nothing(body, tensors):
    before = to_numpy([v.value for v in body.variables])
    match_tensors(tensors, body)
    after = to_numpy([v.value for v in body.variables])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["<f2", "<f8", ml_dtypes.bfloat16])
def test_other_floating_point_types(body, tensors, dtype):
    values = {
        name: v if v.dtype == np.int64 else v.astype(dtype)
        for name, v in tensors.items()
    }
    match = match_tensors(values, body)
    assert_complete(match, values, body)


def test_a_pose_network_lacks_the_last_exchange_but_for_its_first_row(body):
    tensors = random_tensors(torch_shapes.body("tiny", multi_scale=False))
    match = match_tensors(tensors, body)
    assert_complete(match, tensors, body)
    # Row 1: 3 convolutions, row 2: 4, row 3: 6; a kernel and four of BN each.
    assert len(match.kept) == 13 * 5
    assert {name.rsplit(".fuse_layers.")[0] for name in match.kept} == {"stage4.0"}
    assert {name.split(".")[3] for name in match.kept} == {"1", "2", "3"}


def test_half_a_row_is_an_error(body, tensors):
    tensors.pop(LOWER_ROWS)
    with pytest.raises(ValueError, match=rf"lacks .* {LOWER_ROWS} \[32, 16, 3, 3\]$"):
        match_tensors(tensors, body)


@pytest.mark.parametrize(
    "name, shape",
    [
        ("bn1.running_var", r"\[24\]"),
        ("layer1.0.conv2.weight", r"\[16, 16, 3, 3\]"),
        ("stage4.0.fuse_layers.0.3.0.weight", r"\[16, 128, 1, 1\]"),
    ],
)
def test_a_missing_tensor_is_named(body, tensors, name, shape):
    tensors.pop(name)
    with pytest.raises(ValueError, match=rf"lacks tensors .*: {name} {shape}$"):
        match_tensors(tensors, body)


def test_many_missing_tensors_are_counted(body, tensors):
    few = {name: v for name, v in tensors.items() if not name.startswith("stage3")}
    gone = [k for k in tensors if k.startswith("stage3") and "num_batches" not in k]
    with pytest.raises(ValueError, match=f"and {len(gone) - 3} more$"):
        match_tensors(few, body)


def test_a_misshapen_tensor_is_named(body, tensors):
    name = "stage2.0.branches.1.0.conv2.weight"
    tensors[name] = tensors[name][:, :, :1, :1]
    with pytest.raises(
        ValueError, match=rf"{name} has shape \[32, 32, 1, 1\], expected \[32, 32, 3, 3"
    ):
        match_tensors(tensors, body)


def test_a_kernel_in_keras_layout_is_misshapen(body, tensors):
    tensors["conv2.weight"] = tensors["conv2.weight"].transpose(2, 3, 1, 0)
    with pytest.raises(ValueError, match=r"conv2.weight has shape \[3, 3, 24, 24\]"):
        match_tensors(tensors, body)


@pytest.mark.parametrize(
    "name",
    ["stage5.0.weight", "bn3.num_batches_tracked", "conv1.bias", "last_layer.0.weight"],
)
def test_an_unknown_tensor_is_named(body, tensors, name):
    tensors[name] = np.ones(3, "<f4")
    with pytest.raises(ValueError, match=f"no known HRNet has: {name}$"):
        match_tensors(tensors, body)


def test_tensors_outside_of_the_prefix_are_unknown(body, tensors):
    tensors = {f"backbone.{k}": v for k, v in tensors.items()}
    tensors["neck.weight"] = np.ones(3, "<f4")
    with pytest.raises(ValueError, match="no known HRNet has: neck.weight$"):
        match_tensors(tensors, body)


@pytest.mark.parametrize("variant", ["w18", "w32", "w48"])
def test_another_width_is_named(body, variant):
    shapes = torch_shapes.body(variant)
    tensors = {name: np.broadcast_to(np.float32(1), s) for name, s in shapes.items()}
    with pytest.raises(
        ValueError, match=f"looks like {variant}, the model's backbone is tiny"
    ):
        match_tensors(tensors, body)


def test_other_networks(body):
    resnet = {"conv1.weight": np.ones((64, 3, 7, 7), "<f4")}
    with pytest.raises(ValueError, match="an HRNet, but it has no convolution"):
        match_tensors(resnet, body)
    with pytest.raises(ValueError, match="conv1.weight, got features.0.weight$"):
        match_tensors({"features.0.weight": np.ones(3, "<f4")}, body)
    twice = {"conv1.weight": np.ones(3), "backbone.conv1.weight": np.ones(3)}
    with pytest.raises(ValueError, match="got more than one"):
        match_tensors(twice, body)


@pytest.mark.parametrize(
    "value, what",
    [
        (np.nan, "holds numbers that are not finite"),
        (np.inf, "holds numbers that are not finite"),
        (1e300, "holds numbers that are not finite"),
        (-1.0, "holds negative variances"),
    ],
)
def test_values_that_would_spoil_the_model(body, tensors, value, what):
    variances = tensors["bn2.running_var"].astype("<f8")
    variances[3] = value
    tensors["bn2.running_var"] = variances
    with pytest.raises(ValueError, match=f"bn2.running_var {what}"):
        match_tensors(tensors, body)


def test_whole_numbers_are_no_weights(body, tensors):
    tensors["bn2.bias"] = np.ones(24, "<i8")
    with pytest.raises(ValueError, match="bn2.bias is of type int64"):
        match_tensors(tensors, body)


@pytest.mark.parametrize(
    "variant, shapes, count",
    [
        ("w32", lambda v: torch_shapes.body(v), 29_305_536),
        ("w48", lambda v: torch_shapes.body(v), 65_325_120),
        ("w32", lambda v: torch_shapes.body(v, multi_scale=False), 28_535_552),
        ("w48", lambda v: torch_shapes.body(v, multi_scale=False), 63_594_912),
        ("w32", torch_shapes.dekr_head, 29_561_182 - 29_305_536),
        ("w48", torch_shapes.dekr_head, 65_684_590 - 65_325_120),
        ("w32", torch_shapes.pose_head, 28_536_113 - 28_535_552),
        ("w32", torch_shapes.classifier, 41_232_680 - 29_305_536),
        ("w48", torch_shapes.classifier, 77_469_864 - 65_325_120),
    ],
)
def test_the_shapes_of_these_tests_are_those_of_the_public_networks(
    variant, shapes, count
):
    """The sums are the parameters that the networks' authors report."""
    assert trainable(shapes(variant)) == count


@pytest.mark.slow
@pytest.mark.parametrize(
    "head, multi_scale, count",
    [
        (torch_shapes.dekr_head, True, 29_305_536),
        (torch_shapes.pose_head, False, 28_535_552),
        (torch_shapes.classifier, True, 29_305_536),
    ],
)
def test_w32_of_every_source_leaves_nothing_over(head, multi_scale, count):
    body = hrnet("w32")
    shapes = torch_shapes.body("w32", multi_scale) | head("w32")
    tensors = {
        name: np.broadcast_to(np.float32(1), shape) for name, shape in shapes.items()
    }
    match = match_tensors(tensors, body)
    assert_complete(match, tensors, body)
    moved = [value for variable, value in match.values if variable.trainable]
    assert sum(math.prod(value.shape) for value in moved) == count

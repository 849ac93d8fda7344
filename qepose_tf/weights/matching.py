"""Matches the tensors of a PyTorch checkpoint with the weights of the body."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from ml_dtypes import bfloat16

from qepose_tf.models.bodies import name_of
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.models.pyramid import NAME as PYRAMID_NAME
from qepose_tf.weights import efficientnet
from qepose_tf.weights.state_dict import names_of

FLOATS = {np.dtype(name) for name in ("<f2", "<f4", "<f8")} | {np.dtype(bfloat16)}
# PyTorch's names of the weights of batch normalisation, and Keras' names.
NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
COUNTER = "num_batches_tracked"
# The first layer, after the prefixes of DataParallel, training scripts and mmpose.
FIRST = re.compile(r"((?:module\.|model\.|backbone\.)*)conv1\.weight")
WIDTH = "transition1.0.0.weight"
# The first parts of the names of other heads. The ImageNet files of the pose project
# use `head` and `fc`, later files the three longer names.
CLASSIFIER_PARTS = ("incre_modules", "downsamp_modules", "classifier", "head", "fc")
DEKR_PARTS = (
    "transition_heatmap",
    "head_heatmap",
    "transition_offset",
    "offset_feature_layers",
    "offset_final_layer",
)
MMPOSE_PARTS = ("head", "keypoint_head", "rescore_net")
UNUSED = (*CLASSIFIER_PARTS, "final_layer", *DEKR_PARTS)


# The order of PyTorch's axes in Keras: `[O, I, H, W]` becomes `[H, W, I, O]`, and in a
# depthwise convolution `[C, 1, H, W]` becomes `[H, W, C, 1]`.
Axes = tuple[int, ...]
KERNEL, DEPTHWISE, VECTOR = (2, 3, 1, 0), (2, 3, 0, 1), (0,)


@dataclass(frozen=True)
class Match:
    """A match of all tensors of a checkpoint with all weights of a body.

    Attributes:
        values: The variables of the body and their new values, float32 in Keras' order
            of axes.
        unused: The names of tensors that the body does not need, by group.
        kept: The names of tensors that the checkpoint's network does not have.
        source: The kind of network that the checkpoint is of.
    """

    values: list[tuple[keras.Variable, np.ndarray]]
    unused: dict[str, list[str]]
    kept: list[str]
    source: str


def match_tensors(tensors: dict[str, np.ndarray], body: keras.Model) -> Match:
    """Matches the tensors of a checkpoint with the weights of a body.

    Args:
        tensors: The tensors by their names in PyTorch, in PyTorch's order of axes.
        body: A named body of `models.bodies.build_body`. It is not changed.

    Raises:
        ValueError: A tensor is missing, unknown, of another shape or not finite, or the
            checkpoint is of another network or another width.
    """
    if variant_of(body) == "efficientnet_lite0":
        return _match_efficientnet(tensors, body)
    inner, outer = without_prefix(tensors)
    _check_width(inner, body)
    weights = _weights(body)
    unused, source = _set_aside(inner, outer, weights)
    values = {name: inner[name] for name in inner if name in weights}
    missing = [name for name in weights if name not in values]
    # HRNet for single-person poses uses only the branch at stride 4, so its last
    # exchange does not compute the other branches. Either all of their tensors are
    # missing or none.
    kept = sorted(name for name in weights if _in_lower_rows(name, body))
    if not set(kept) <= set(missing):
        kept = []
    lacking = [name for name in missing if name not in kept]
    if lacking:
        described = [f"{name} {_torch_shape(*weights[name])}" for name in lacking]
        raise ValueError(f"lacks tensors that the body needs: {names_of(described)}")
    pairs = [
        (weights[name][0], _converted(name, value, *weights[name]))
        for name, value in values.items()
    ]
    return Match(pairs, unused, kept, source)


def variant_of(body: keras.Model) -> str:
    """Returns the name of a body in `models.bodies.named_bodies`.

    Args:
        body: A body of `models.bodies.build_body`.

    Raises:
        ValueError: The body has no name, so that no checkpoint of it is known.
    """
    name = name_of(body)
    if name is None:
        raise ValueError(f"no checkpoint is known for the body {body.name}")
    return name


def _match_efficientnet(tensors: dict[str, np.ndarray], body: keras.Model) -> Match:
    """Matches EfficientNet-Lite0, whose pyramid is in no checkpoint."""
    if not {"_conv_stem.weight", "conv_stem.weight"} & set(tensors):
        raise ValueError(
            "expected an EfficientNet-Lite0 that starts with conv_stem.weight, got "
            f"{names_of(list(tensors))}"
        )
    names = efficientnet.layer_names(tensors)
    weights = _weights(body)
    pairs, unknown, found = [], [], set()
    unused: dict[str, list[str]] = defaultdict(list)
    for name, value in tensors.items():
        layer, _, last = name.rpartition(".")
        ours = f"{names.get(layer)}.{last}"
        if ours in weights:
            pairs.append((weights[ours][0], _converted(name, value, *weights[ours])))
            found.add(ours)
        elif last == COUNTER:
            unused[COUNTER].append(name)
        elif name.split(".")[0] in efficientnet.CLASSIFIER_PARTS:
            unused[name.split(".")[0]].append(name)
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(
            f"holds tensors that EfficientNet-Lite0 lacks: {names_of(unknown)}"
        )
    missing = [name for name in weights if name not in found]
    kept = [name for name in missing if name.startswith(f"{PYRAMID_NAME}_")]
    if len(kept) < len(missing):
        lacking = [name for name in missing if name not in kept]
        raise ValueError(f"lacks tensors that the body needs: {names_of(lacking)}")
    return Match(pairs, dict(unused), kept, "EfficientNet-Lite0 classification")


def without_prefix(tensors: dict) -> tuple[dict, dict]:
    """Returns the tensors of the backbone without their prefix, and all others.

    Args:
        tensors: The tensors of an HRNet by name.

    Raises:
        ValueError: There is no HRNet in them, or more than one.
    """
    prefixes = [match[1] for match in map(FIRST.fullmatch, tensors) if match]
    if len(prefixes) != 1:
        found = f"got {names_of(list(tensors))}"
        if prefixes:
            found = f"got more than one: {[f'{p}conv1.weight' for p in prefixes]}"
        raise ValueError(f"expected one HRNet that starts with conv1.weight, {found}")
    prefix = prefixes[0]
    inner = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
    outer = {name: v for name, v in tensors.items() if not name.startswith(prefix)}
    return inner, outer


def _check_width(tensors: dict, body: keras.Model) -> None:
    if WIDTH not in tensors or tensors[WIDTH].ndim != 4:
        raise ValueError(f"expected an HRNet, but it has no convolution {WIDTH}")
    found, wanted = tensors[WIDTH].shape[0], body.outputs[0].shape[-1]
    if found != wanted:
        raise ValueError(
            f"this looks like w{found}, the model's backbone is {variant_of(body)} "
            f"({WIDTH} has {found} channels, expected {wanted})"
        )


def _weights(body: keras.Model) -> dict[str, tuple[keras.Variable, Axes]]:
    """Returns the body's variables and their axes in PyTorch, by name.

    HRNet's weights are named as in checkpoints, EfficientNet's after our layers.
    """
    dotted = variant_of(body) in VARIANTS
    found: dict[str, tuple[keras.Variable, Axes]] = {}
    for layer in body.layers:
        key = layer.name
        if dotted:
            key = key.replace("_", ".").replace("fuse.layers", "fuse_layers")
        if isinstance(layer, keras.layers.Conv2D):
            found[f"{key}.weight"] = (layer.kernel, KERNEL)
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            found[f"{key}.weight"] = (layer.kernel, DEPTHWISE)
        elif isinstance(layer, keras.layers.BatchNormalization):
            for theirs, ours in NORM.items():
                found[f"{key}.{theirs}"] = (getattr(layer, ours), VECTOR)
    return found


def _in_lower_rows(name: str, body: keras.Model) -> bool:
    modules = VARIANTS[variant_of(body)].modules[-1]
    last = rf"stage4\.{modules - 1}\.fuse_layers\.[1-3]\."
    return re.match(last, name) is not None


def _set_aside(
    inner: dict, outer: dict, weights: dict
) -> tuple[dict[str, list[str]], str]:
    """Returns the tensors that the body does not need by group, and the source."""
    unused: dict[str, list[str]] = defaultdict(list)
    unknown = []
    for name in inner:
        first = name.split(".")[0]
        layer, _, last = name.rpartition(".")
        if name in weights:
            continue
        if first in UNUSED:
            unused[first].append(name)
        elif last == COUNTER and f"{layer}.running_mean" in weights:
            unused[COUNTER].append(name)
        else:
            unknown.append(name)
    for name in outer:
        first = name.removeprefix("module.").split(".")[0]
        if first in MMPOSE_PARTS:
            unused[first].append(name)
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(f"holds tensors that no known HRNet has: {names_of(unknown)}")
    return dict(unused), "mmpose" if outer else _source(unused)


def _source(groups: dict) -> str:
    if any(part in groups for part in DEKR_PARTS):
        return "DEKR"
    if any(part in groups for part in CLASSIFIER_PARTS):
        return "HRNet classification"
    return "HRNet pose" if "final_layer" in groups else "HRNet body"


def _torch_shape(variable: keras.Variable, axes: Axes) -> list[int]:
    return [variable.shape[axes.index(axis)] for axis in range(len(axes))]


def _converted(
    name: str, value: np.ndarray, variable: keras.Variable, axes: Axes
) -> np.ndarray:
    """Checks a tensor and returns it as float32 in Keras' order of axes."""
    return checked(name, value, _torch_shape(variable, axes)).transpose(axes)


def checked(name: str, value: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Checks a tensor and returns it as float32.

    Args:
        name: The name of the tensor, for the message.
        value: The tensor.
        shape: The shape that it should have.

    Raises:
        ValueError: It has another shape, or is not of finite numbers.
    """
    if list(value.shape) != list(shape):
        raise ValueError(
            f"{name} has shape {list(value.shape)}, expected {list(shape)}"
        )
    if value.dtype not in FLOATS:
        raise ValueError(f"{name} is of type {value.dtype}, expected floating point")
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    if name.endswith("running_var") and (value < 0).any():
        raise ValueError(f"{name} holds negative variances")
    return value

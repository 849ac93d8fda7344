"""The names under which DEKR's heads stand in the checkpoints of two projects.

HRNet/DEKR has a module for each keypoint, whose displacements go from the keypoint to
the cell. mmpose groups all keypoints in one module, and its displacements go from the
cell to the keypoint; there, the nine taps of an adaptive convolution move by the
affine transform from where they stand, and not from the cell. Before version 1, mmpose
had other names, DEKR's sign, and the centre before the keypoints.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qepose_tf.weights.matching import COUNTER, NORM, checked
from qepose_tf.weights.state_dict import names_of

REGULAR = "regular_matrix"  # the taps, a constant that PyTorch saves as a buffer
TAPS_YX = np.mgrid[-1:2, -1:2].reshape(2, 9)
RESCORING = "rescore_net"
# mmpose's six numbers are M row by row with t as a third column; ours are M, then t.
_MMPOSE_AFFINE = (0, 1, 3, 4, 2, 5)
_IDENTITY = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


class Tensors:
    """The tensors of the heads, each of which is taken once.

    Args:
        tensors: The tensors by name.
    """

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self.left = dict(tensors)
        self.used: list[str] = []

    def take(self, name: str, *shape: int) -> np.ndarray:
        """Returns a tensor as float32.

        Raises:
            ValueError: It is missing, or not what is expected.
        """
        if name not in self.left:
            raise ValueError(f"lacks the tensor {name} {list(shape)} of DEKR's heads")
        self.used.append(name)
        return checked(name, self.left.pop(name), shape)

    def norm(self, name: str, channels: int) -> dict[str, np.ndarray]:
        """Returns the vectors of a batch normalisation by Keras' names."""
        return {
            ours: self.take(f"{name}.{theirs}", channels)
            for theirs, ours in NORM.items()
        }

    def groups(self) -> dict[str, list[str]]:
        """Returns the names of tensors that no layer needs, by group.

        Raises:
            ValueError: A tensor is of no known group.
        """
        found: dict[str, list[str]] = {}
        for name, value in self.left.items():
            parts = name.split(".")
            if parts[-1] == COUNTER:
                group = COUNTER
            elif parts[-1] == REGULAR:
                _check_taps(name, value)
                group = REGULAR
            elif RESCORING in parts:
                group = RESCORING
            else:
                continue
            found.setdefault(group, []).append(name)
        known = {name for names in found.values() for name in names}
        unknown = [name for name in self.left if name not in known]
        if unknown:
            raise ValueError(
                f"holds tensors that no known DEKR has: {names_of(unknown)}"
            )
        return found


@dataclass(frozen=True)
class Sizes:
    """The sizes of DEKR's heads.

    Attributes:
        width: The channels of the body's branch at stride 4.
        heatmap_channels: The channels of the heatmap branch.
        keypoints: K.
        channels: The channels of each keypoint's branch.
        blocks: The adaptive convolutions of each keypoint's branch.
    """

    width: int
    heatmap_channels: int
    keypoints: int
    channels: int
    blocks: int = 2


@dataclass(frozen=True)
class Layout:
    """How one project names DEKR's heads, a row of `LAYOUTS`.

    Attributes:
        source: The name of the project.
        protocol: A key of `ops.heat_decode.PROTOCOLS`.
        heat: The names of the heatmap branch: its first convolution and normalisation,
            its block, and its last convolution.
        offset: The names of the first convolution and normalisation of the branches.
        marker: The beginning of a name that no other layout has.
        centre_first: Whether the centre's heatmap comes before those of keypoints.
        sign: What makes displacements go from the cell to the keypoint.
        block: A function from tensors, sizes and the number of a block to its arrays.
        last: A function from tensors and sizes to the last kernel and bias.
    """

    source: str
    protocol: str
    heat: tuple[str, str, str, str]
    offset: tuple[str, str]
    marker: str
    centre_first: bool
    sign: float
    block: Callable[[Tensors, Sizes, int], dict[str, dict[str, np.ndarray]]]
    last: Callable[[Tensors, Sizes], tuple[np.ndarray, np.ndarray]]


def _dekr_block(tensors: Tensors, sizes: Sizes, number: int) -> dict:
    keypoints, channels = sizes.keypoints, sizes.channels
    names = [f"offset_feature_layers.{k}.{number}" for k in range(keypoints)]
    square, three = (channels, 3, 3), []
    for part, outputs in (
        ("transform_matrix_conv", 4),
        ("translation_conv", 2),
        ("adapt_conv", channels),
    ):
        weights = [tensors.take(f"{n}.{part}.weight", outputs, *square) for n in names]
        three.append(np.stack(weights))
    biases = [
        np.stack([tensors.take(f"{name}.{part}.bias", outputs) for name in names])
        for part, outputs in (("transform_matrix_conv", 4), ("translation_conv", 2))
    ]
    norms = [tensors.norm(f"{name}.bn", channels) for name in names]
    return {
        "affine": {
            "kernel": taps_first(np.concatenate(three[:2], axis=1)),
            "bias": np.concatenate(biases, axis=1),
        },
        "convolution": {"kernel": taps_first(three[2])},
        "norm": {
            ours: np.concatenate([norm[ours] for norm in norms])
            for ours in NORM.values()
        },
    }


def _dekr_last(tensors: Tensors, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    names = [f"offset_final_layer.{k}" for k in range(sizes.keypoints)]
    kernels = [tensors.take(f"{n}.weight", 2, sizes.channels, 1, 1) for n in names]
    biases = [tensors.take(f"{name}.bias", 2) for name in names]
    return np.stack(kernels), np.stack(biases)


def _mmpose(branch: str) -> tuple[Callable, Callable]:
    """Returns `Layout.block` and `Layout.last` of a module with grouped keypoints."""

    def block(tensors: Tensors, sizes: Sizes, number: int) -> dict:
        keypoints, channels = sizes.keypoints, sizes.channels
        name = f"{branch}.{number + 1}"
        affine = tensors.take(
            f"{name}.transform_matrix_conv.weight", 6 * keypoints, channels, 3, 3
        )
        affine = affine.reshape(keypoints, 6, channels, 3, 3)[:, _MMPOSE_AFFINE]
        bias = tensors.take(f"{name}.transform_matrix_conv.bias", 6 * keypoints)
        bias = bias.reshape(keypoints, 6)[:, _MMPOSE_AFFINE]
        kernel = tensors.take(
            f"{name}.adapt_conv.weight", keypoints * channels, channels, 3, 3
        )
        kernel = kernel.reshape(keypoints, channels, channels, 3, 3)
        return {
            "affine": {
                "kernel": taps_first(affine),
                "bias": bias + np.array(_IDENTITY, np.float32),
            },
            "convolution": {"kernel": taps_first(kernel)},
            "norm": tensors.norm(f"{name}.norm", keypoints * channels),
        }

    def last(tensors: Tensors, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
        keypoints, name = sizes.keypoints, f"{branch}.{sizes.blocks + 1}"
        kernel = tensors.take(f"{name}.weight", 2 * keypoints, sizes.channels, 1, 1)
        bias = tensors.take(f"{name}.bias", 2 * keypoints)
        return kernel.reshape(keypoints, 2, -1, 1, 1), bias.reshape(keypoints, 2)

    return block, last


def _mmpose_layout(
    source: str, head: str, branch: str, centre_first: bool, sign: float
) -> Layout:
    heat = f"{head}.heatmap_conv_layers"
    block, last = _mmpose(f"{head}.{branch}")
    return Layout(
        source=source,
        protocol="mmpose",
        heat=(f"{heat}.0.conv", f"{heat}.0.bn", f"{heat}.1", f"{heat}.2"),
        offset=(f"{head}.{branch}.0.conv", f"{head}.{branch}.0.bn"),
        marker=f"{head}.{branch}",
        centre_first=centre_first,
        sign=sign,
        block=block,
        last=last,
    )


LAYOUTS = (
    Layout(
        source="DEKR",
        protocol="dekr",
        heat=(
            *("transition_heatmap.0", "transition_heatmap.1"),
            *("head_heatmap.0.0", "head_heatmap.1"),
        ),
        offset=("transition_offset.0", "transition_offset.1"),
        marker="offset_feature_layers",
        centre_first=False,
        sign=-1.0,
        block=_dekr_block,
        last=_dekr_last,
    ),
    _mmpose_layout("mmpose DEKR", "head", "displacement_conv_layers", False, 1.0),
    _mmpose_layout(
        "mmpose 0.x DEKR", "keypoint_head", "offset_conv_layers", True, -1.0
    ),
)


def taps_first(kernels: np.ndarray) -> np.ndarray:
    """Turns PyTorch's 3x3 kernels of all keypoints into ours.

    Args:
        kernels: `[K, O, I, 3, 3]`.

    Returns:
        `[K, 9 I, O]`.
    """
    keypoints, outputs = kernels.shape[:2]
    return kernels.transpose(0, 3, 4, 2, 1).reshape(keypoints, -1, outputs)


def _check_taps(name: str, value: np.ndarray) -> None:
    # mmpose has a third row of ones, for the translation.
    expected = TAPS_YX if value.shape[:1] == (2,) else np.vstack([TAPS_YX, np.ones(9)])
    if value.shape != expected.shape or not np.array_equal(value, expected):
        raise ValueError(f"{name}: expected the taps of a 3x3 kernel, got other points")

"""HRNet: parallel branches at strides 4 to 32 that exchange features.

The names of layers are the keys of the public PyTorch checkpoints with `_` in place of
`.`, for example `stage3_2_branches_1_0_conv2`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import KerasTensor, layers

from qepose_tf.layers.cell_norm import batch_norm
from qepose_tf.layers.upsample import Upsample


@dataclass(frozen=True)
class Variant:
    """A size of HRNet, one row of `VARIANTS`."""

    width: int  # channels of the branch at stride 4; each coarser branch doubles them
    stem: int = 64
    bottleneck: int = 64
    bottlenecks: int = 4
    modules: tuple[int, int, int] = (1, 4, 3)  # of stages 2, 3 and 4
    blocks: int = 4  # basic blocks in each branch of a module


VARIANTS = {
    "tiny": Variant(
        width=16, stem=24, bottleneck=16, bottlenecks=1, modules=(1, 1, 1), blocks=1
    ),
    "w18": Variant(width=18),
    "w32": Variant(width=32),
    "w48": Variant(width=48),
}


class Builder:
    """Makes layers with HRNet's settings, named after the keys of checkpoints.

    Args:
        momentum: The momentum of batch normalisation.
        synchronized: Whether replicas share batch statistics.
    """

    def __init__(self, momentum: float = 0.9, synchronized: bool = False) -> None:
        self.momentum = momentum
        self.synchronized = synchronized

    def conv(
        self, x: KerasTensor, channels: int, size: int, name: str, strides: int = 1
    ) -> KerasTensor:
        """Adds a convolution without bias; with stride 2, it pads 1 on both sides."""
        padding = "same"
        if strides == 2:
            # Keras' `same` would pad only the far side here and shift the features.
            x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
            padding = "valid"
        return layers.Conv2D(
            channels,
            size,
            strides=strides,
            padding=padding,
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
        )(x)

    def norm(self, x: KerasTensor, name: str) -> KerasTensor:
        """Adds batch normalisation."""
        return batch_norm(name, self.momentum, self.synchronized)(x)

    def relu(self, x: KerasTensor, name: str) -> KerasTensor:
        """Adds a ReLU."""
        return layers.ReLU(name=name)(x)

    def conv_norm_relu(
        self,
        x: KerasTensor,
        channels: int,
        size: int,
        conv: str,
        norm: str,
        strides: int = 1,
    ) -> KerasTensor:
        """Adds convolution, normalisation and ReLU with the given names."""
        x = self.norm(self.conv(x, channels, size, conv, strides), norm)
        return self.relu(x, f"{norm}_relu")

    def basic_block(self, x: KerasTensor, name: str) -> KerasTensor:
        """Adds two 3x3 convolutions with a shortcut."""
        channels = x.shape[-1]
        y = self.conv_norm_relu(x, channels, 3, f"{name}_conv1", f"{name}_bn1")
        y = self.norm(self.conv(y, channels, 3, f"{name}_conv2"), f"{name}_bn2")
        return self.relu(layers.Add(name=f"{name}_add")([x, y]), f"{name}_relu")

    def bottleneck(self, x: KerasTensor, channels: int, name: str) -> KerasTensor:
        """Adds 1x1, 3x3 and 1x1 convolutions to 4 x `channels`, with a shortcut."""
        y = self.conv_norm_relu(x, channels, 1, f"{name}_conv1", f"{name}_bn1")
        y = self.conv_norm_relu(y, channels, 3, f"{name}_conv2", f"{name}_bn2")
        y = self.norm(self.conv(y, 4 * channels, 1, f"{name}_conv3"), f"{name}_bn3")
        if x.shape[-1] != 4 * channels:
            x = self.conv(x, 4 * channels, 1, f"{name}_downsample_0")
            x = self.norm(x, f"{name}_downsample_1")
        return self.relu(layers.Add(name=f"{name}_add")([x, y]), f"{name}_relu")

    def module(
        self, branches: Sequence[KerasTensor], blocks: int, name: str
    ) -> list[KerasTensor]:
        """Adds blocks to every branch, then the exchange between all branches."""
        branches = list(branches)
        for i in range(len(branches)):
            for block in range(blocks):
                branches[i] = self.basic_block(
                    branches[i], f"{name}_branches_{i}_{block}"
                )
        return [
            self._fuse(branches, target, f"{name}_fuse_layers_{target}")
            for target in range(len(branches))
        ]

    def _fuse(
        self, branches: Sequence[KerasTensor], target: int, name: str
    ) -> KerasTensor:
        """Converts all branches to the target's stride and width, and adds them."""
        channels = branches[target].shape[-1]
        parts = []
        for source, x in enumerate(branches):
            here = f"{name}_{source}"
            if source > target:
                x = self.norm(self.conv(x, channels, 1, f"{here}_0"), f"{here}_1")
                x = Upsample(2 ** (source - target), name=f"{here}_up")(x)
            elif source < target:
                x = self._downsample(x, channels, target - source, here)
            parts.append(x)
        return self.relu(layers.Add(name=f"{name}_add")(parts), f"{name}_relu")

    def _downsample(
        self, x: KerasTensor, channels: int, steps: int, name: str
    ) -> KerasTensor:
        """Adds stride-2 convolutions; the last changes the width and has no ReLU."""
        for step in range(steps - 1):
            x = self.conv_norm_relu(
                x, x.shape[-1], 3, f"{name}_{step}_0", f"{name}_{step}_1", 2
            )
        x = self.conv(x, channels, 3, f"{name}_{steps - 1}_0", 2)
        return self.norm(x, f"{name}_{steps - 1}_1")


def hrnet(
    variant: str, momentum: float = 0.9, synchronized: bool = False
) -> keras.Model:
    """Builds an HRNet body with multi-scale output.

    Args:
        variant: A key of `VARIANTS`.
        momentum: The momentum of batch normalisation.
        synchronized: Whether replicas share batch statistics.

    Returns:
        A functional model from `[B, H, W, 3]`, with sides that are multiples of 32, to
        four maps `[B, H / s, W / s, width * s / 4]`, where s is 4, 8, 16, 32.

    Raises:
        ValueError: The variant is unknown.
    """
    if variant not in VARIANTS:
        raise ValueError(f"expected a backbone of {sorted(VARIANTS)}, got {variant!r}")
    row = VARIANTS[variant]
    build = Builder(momentum, synchronized)
    images = keras.Input((None, None, 3), name="images")
    x = build.conv_norm_relu(images, row.stem, 3, "conv1", "bn1", strides=2)
    x = build.conv_norm_relu(x, row.stem, 3, "conv2", "bn2", strides=2)
    for block in range(row.bottlenecks):
        x = build.bottleneck(x, row.bottleneck, f"layer1_{block}")
    branches = [x]
    for stage, modules in enumerate(row.modules, start=2):
        branches = _transition(build, branches, row.width, f"transition{stage - 1}")
        for module in range(modules):
            branches = build.module(branches, row.blocks, f"stage{stage}_{module}")
    return keras.Model(images, branches, name="body")


def _transition(
    build: Builder, branches: Sequence[KerasTensor], width: int, name: str
) -> list[KerasTensor]:
    """Adds a branch with twice the stride of the last one, made from it."""
    last = branches[-1]
    new = len(branches)
    if new == 1:
        # After the first stage, the branch at stride 4 changes its width, too.
        branches = [build.conv_norm_relu(last, width, 3, f"{name}_0_0", f"{name}_0_1")]
    here = f"{name}_{new}_0"
    channels = width * 2**new
    added = build.conv_norm_relu(last, channels, 3, f"{here}_0", f"{here}_1", 2)
    return [*branches, added]

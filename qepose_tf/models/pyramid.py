"""A feature pyramid, which adds the features of coarse maps to finer maps."""

from collections.abc import Sequence

from keras import KerasTensor, layers

from qepose_tf.layers.upsample import Upsample
from qepose_tf.models.hrnet import Builder

NAME = "pyramid"  # the beginning of the layers' names


def top_down(
    maps: Sequence[KerasTensor], channels: int, outputs: Sequence[int], build: Builder
) -> list[KerasTensor]:
    """Adds each map, brought to the same width, to the next finer one.

    Feature Pyramid Networks (Lin et al., CVPR 2017) with a normalised 3x3 convolution
    at every output.

    Args:
        maps: `[B, H / s, W / s, C]`, each of half the size of the one before.
        channels: The channels of the maps that are added.
        outputs: The channels of each output.
        build: The object that makes the layers.

    Returns:
        Maps of the same sizes in the same order.
    """
    results = []
    above = None
    for level, features in reversed(list(enumerate(maps, start=2))):
        here = f"{NAME}_{level}"
        x = build.norm(
            build.conv(features, channels, 1, f"{here}_lateral"), f"{here}_bn"
        )
        if above is not None:
            up = Upsample(2, name=f"{here}_up")(above)
            x = layers.Add(name=f"{here}_add")([x, up])
        above = x = build.relu(x, f"{here}_relu")
        x = build.conv_norm_relu(
            x, outputs[level - 2], 3, f"{here}_output", f"{here}_output_bn"
        )
        results.append(x)
    return results[::-1]

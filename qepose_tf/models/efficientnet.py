"""EfficientNet-Lite0 with a small feature pyramid: a body for phones and CPUs.

EfficientNet-Lite is EfficientNet without squeeze-and-excitation and with ReLU6, for
which int8 kernels exist. The names of the encoder's layers are the keys of the public
PyTorch checkpoints without leading underscores and with `_` in place of `.`, for
example `blocks_3_expand_conv`.
"""

import keras
from keras import KerasTensor, layers

from qepose_tf.layers.cell_norm import MapNorm
from qepose_tf.models.hrnet import Builder
from qepose_tf.models.pyramid import top_down

EPSILON = 1e-3  # of batch normalisation, as in the training of the public weights
STEM = 32
# The blocks of each stage: channels, kernel size, stride of the first block, number of
# blocks, and expansion, the factor by which a block widens its input.
STAGES = (
    (16, 3, 1, 1, 1),
    (24, 3, 2, 2, 6),
    (40, 5, 2, 2, 6),
    (80, 3, 2, 3, 6),
    (112, 5, 1, 3, 6),
    (192, 5, 2, 4, 6),
    (320, 3, 1, 1, 6),
)
# The stages whose maps the pyramid takes, at strides 4, 8, 16 and 32.
TAPPED = (1, 2, 4, 6)
PYRAMID = 64
OUTPUTS = (24, 24, 40, 40)


class _Encoder:
    """Makes layers with the settings of EfficientNet-Lite."""

    def __init__(self, momentum: float, synchronized: bool) -> None:
        self._momentum = momentum
        self._synchronized = synchronized

    def norm(self, x: KerasTensor, name: str, relu: bool = True) -> KerasTensor:
        """Adds batch normalisation and, if `relu`, ReLU6."""
        x = MapNorm(
            momentum=self._momentum,
            epsilon=EPSILON,
            synchronized=self._synchronized,
            name=name,
        )(x)
        return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x) if relu else x

    def conv(
        self, x: KerasTensor, channels: int, size: int, strides: int, name: str
    ) -> KerasTensor:
        """Adds a convolution without bias, with TensorFlow's padding `same`."""
        return layers.Conv2D(
            channels,
            size,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
        )(x)

    def block(
        self,
        x: KerasTensor,
        channels: int,
        size: int,
        strides: int,
        expansion: int,
        name: str,
    ) -> KerasTensor:
        """Adds an inverted residual block, with a shortcut if the shape is kept."""
        y = x
        if expansion > 1:
            y = self.conv(y, expansion * x.shape[-1], 1, 1, f"{name}_expand_conv")
            y = self.norm(y, f"{name}_bn0")
        y = layers.DepthwiseConv2D(
            size,
            strides=strides,
            padding="same",
            use_bias=False,
            depthwise_initializer="he_normal",
            name=f"{name}_depthwise_conv",
        )(y)
        y = self.norm(y, f"{name}_bn1")
        y = self.norm(
            self.conv(y, channels, 1, 1, f"{name}_project_conv"), f"{name}_bn2", False
        )
        if strides == 1 and x.shape[-1] == channels:
            y = layers.Add(name=f"{name}_add")([x, y])
        return y


def efficientnet_lite0(
    momentum: float = 0.9, synchronized: bool = False
) -> keras.Model:
    """Builds EfficientNet-Lite0 and its feature pyramid.

    Args:
        momentum: The momentum of batch normalisation.
        synchronized: Whether replicas share batch statistics.

    Returns:
        A functional model from `[B, H, W, 3]`, with sides that are multiples of 32, to
        four maps `[B, H / s, W / s, C]`, where s is 4, 8, 16, 32 and C is 24, 24, 40,
        40.
    """
    build = _Encoder(momentum, synchronized)
    images = keras.Input((None, None, 3), name="images")
    x = build.norm(build.conv(images, STEM, 3, 2, "conv_stem"), "bn0")
    maps, block = [], 0
    for stage, (channels, size, strides, count, expansion) in enumerate(STAGES):
        for number in range(count):
            x = build.block(
                x,
                channels,
                size,
                strides if number == 0 else 1,
                expansion,
                f"blocks_{block}",
            )
            block += 1
        if stage in TAPPED:
            maps.append(x)
    outputs = top_down(maps, PYRAMID, OUTPUTS, Builder(momentum, synchronized))
    return keras.Model(images, outputs, name="body")

"""The first layer: pixels to what the body was made for."""

from collections.abc import Iterable

import keras
from keras import ops


@keras.saving.register_keras_serializable("qepose_tf")
class Normalise(keras.layers.Layer):
    """Subtracts a mean from RGB pixels and divides by a standard deviation.

    The layer computes in float32 under every policy, because bfloat16 would round the
    pixels. (`keras.layers.Rescaling` asks for TensorFlow on other backends, too.)

    Args:
        mean: Three numbers of 0 to 255.
        std: Three numbers above 0.
        **kwargs: Of `keras.layers.Layer`.

    Call with `[B, H, W, 3]`, RGB in 0..255 of any type; returns `[B, H, W, 3]` float32.

    Example:
        >>> layer = Normalise(mean=[127.0] * 3, std=[128.0] * 3)
        >>> float(layer(np.full((1, 1, 1, 3), 255, np.uint8))[0, 0, 0, 0])
        1.0
    """

    def __init__(self, mean: Iterable[float], std: Iterable[float], **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)

    def call(self, images):
        """Normalised pixels `[B, H, W, 3]`."""
        mean = ops.convert_to_tensor(self.mean, "float32")
        std = ops.convert_to_tensor(self.std, "float32")
        return (ops.cast(images, "float32") - mean) / std

    def compute_output_spec(self, images):
        """Shape of the input, float32."""
        return keras.KerasTensor(images.shape, "float32")

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "mean": list(self.mean),
            "std": list(self.std),
        }

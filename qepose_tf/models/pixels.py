"""What every model expects of the pixels that it is given."""

from collections.abc import Sequence

import numpy as np

# ImageNet's mean and standard deviation of RGB in 0..255.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
STRIDE_32 = 32


def rgb_numbers(name: str, values: Sequence[float]) -> np.ndarray:
    """Returns three numbers as an array.

    Args:
        name: What the numbers are, for the message.
        values: The numbers.

    Raises:
        ValueError: They are not three finite numbers.
    """
    array = np.asarray(values, np.float32)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise ValueError(f"expected {name} to be three numbers, got {values!r}")
    return array


def check_sides(shape: Sequence[int | None]) -> None:
    """Raises an error if images have sides that are no multiples of 32.

    Args:
        shape: `(B, H, W, 3)`; a side may be unknown.

    Raises:
        ValueError: A side is not a multiple of 32.
    """
    sides = tuple(shape[1:3])
    if any(side is not None and side % STRIDE_32 for side in sides):
        raise ValueError(
            f"expected image sides that are multiples of {STRIDE_32}, got {sides}"
        )

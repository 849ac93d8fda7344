"""Points, cells and the matrices between images.

A pixel's centre has integer coordinates, so resizing by `s` maps `x` to
`(x + 0.5) * s - 0.5`. Cell `i` of a stride-4 map stands at input pixel `4 * i`.
"""

import numpy as np

STRIDE = 4


def resize_matrix(source_hw: tuple[int, int], target_hw: tuple[int, int]) -> np.ndarray:
    """The `[3, 3]` matrix from pixels of an image to those of its resized copy."""
    scale_y = target_hw[0] / source_hw[0]
    scale_x = target_hw[1] / source_hw[1]
    return np.array(
        [
            [scale_x, 0.0, 0.5 * scale_x - 0.5],
            [0.0, scale_y, 0.5 * scale_y - 0.5],
            [0.0, 0.0, 1.0],
        ],
        np.float32,
    )


def fit_short_side(
    height: int, width: int, short_side: int, multiple: int = 64
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Sizes that bring an image's short side to `short_side`, aspect ratio kept.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
        short_side: wanted short side in pixels.
        multiple: both padded sides are multiples of it.

    Returns:
        `(resized_height, resized_width), (padded_height, padded_width)`.

    Raises:
        ValueError: a side is smaller than 1.
    """
    if min(height, width, short_side, multiple) < 1:
        raise ValueError(
            "expected height, width, short_side and multiple of at least 1, got "
            f"{height}, {width}, {short_side}, {multiple}"
        )
    scale = short_side / min(height, width)
    resized = max(1, round(height * scale)), max(1, round(width * scale))
    padded = (
        -(-resized[0] // multiple) * multiple,
        -(-resized[1] // multiple) * multiple,
    )
    return resized, padded

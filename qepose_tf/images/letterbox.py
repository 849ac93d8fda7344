"""Letterbox: resizes and pads a whole image to the size of the network's input."""

import math
from collections.abc import Sequence

import numpy as np

from qepose_tf.images.decoding import resize_image
from qepose_tf.ops.geometry import fit_short_side

# The largest ratio of the long side to `short_side`. Without a limit, an image of
# 4000x1 pixels would fill any memory.
MAX_ASPECT = 4.0


def capped_short_side(height: int, width: int, short_side: int) -> int:
    """Returns a short side for which the long side does not exceed `MAX_ASPECT`.

    Args:
        height: The height of the image.
        width: The width of the image.
        short_side: The short side in pixels of images below this aspect ratio.
    """
    aspect = max(height, width) / min(height, width)
    return max(1, math.floor(short_side * min(1.0, MAX_ASPECT / aspect)))


def letterbox(
    image: np.ndarray,
    short_side: int,
    fill: Sequence[float] | np.ndarray,
    multiple: int = 64,
) -> tuple[np.ndarray, np.ndarray]:
    """Resizes an image to a short side of `short_side` and pads it.

    The aspect ratio is kept. The content is at the top left, the padding at the right
    and at the bottom.

    Args:
        image: `[H, W, 3]` uint8.
        short_side: The short side of the content in pixels.
        fill: `[3]`, the RGB colour of the padding. With the model's mean colour the
            padding is 0 after the normalisation.
        multiple: Both padded sides are multiples of it.

    Returns:
        The padded image `[H', W', 3]` float32 in 0..255, and the scale `[2]` float32
        (x, y) for `original_points`.
    """
    height, width = image.shape[:2]
    resized_hw, padded_hw = fit_short_side(height, width, short_side, multiple)
    content = resize_image(image, *resized_hw)
    padded = np.empty((*padded_hw, 3), np.float32)
    padded[...] = np.asarray(fill, np.float32)
    padded[: resized_hw[0], : resized_hw[1]] = content
    scale = np.array([resized_hw[1] / width, resized_hw[0] / height], np.float32)
    return padded, scale


def fit_inside(
    image: np.ndarray, height: int, width: int, fill: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Resizes an image to fit into a frame of a fixed size, and pads it.

    Args:
        image: `[H, W, 3]` uint8.
        height: The height of the frame.
        width: The width of the frame.
        fill: The RGB colour of the padding at the right and at the bottom.

    Returns:
        The frame `[height, width, 3]` uint8, and the scale `[2]` float32 (x, y) for
        `original_points`.
    """
    resized, scale = inside_scale(*image.shape[:2], height, width)
    frame = np.broadcast_to(np.array(fill, np.uint8), (height, width, 3)).copy()
    frame[: resized[0], : resized[1]] = resize_image(image, *resized)
    return frame, scale


def inside_scale(
    image_height: int, image_width: int, height: int, width: int
) -> tuple[tuple[int, int], np.ndarray]:
    """Returns the height and width of an image in a frame, and the scale (x, y)."""
    scale = min(height / image_height, width / image_width)
    resized_hw = max(1, round(image_height * scale)), max(1, round(image_width * scale))
    ratio = resized_hw[1] / image_width, resized_hw[0] / image_height
    return resized_hw, np.array(ratio, np.float32)


def original_points(points: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Maps points from a letterboxed image to the original image.

    Args:
        points: `[..., 2]` (x, y) in pixels of the network's input.
        scale: `[2]`, as `letterbox` or `fit_inside` returns it.

    Returns:
        `[..., 2]` in pixels of the original image.
    """
    return (np.asarray(points, np.float32) + 0.5) / np.asarray(scale) - 0.5

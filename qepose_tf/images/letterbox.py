"""A whole image at the network's size: resized and padded."""

import math
from collections.abc import Sequence

import numpy as np

from qepose_tf.images.decoding import resize_image
from qepose_tf.ops.geometry import fit_short_side

# The long side is at most so many short sides of the network: a 4000x1 picture at its
# full aspect ratio would fill any memory.
MAX_ASPECT = 4.0


def capped_short_side(height: int, width: int, short_side: int) -> int:
    """The short side to ask for, so that a strip's long side keeps to `MAX_ASPECT`.

    Args:
        height: Of the image.
        width: Of the image.
        short_side: Of an image that is no strip.
    """
    aspect = max(height, width) / min(height, width)
    return max(1, math.floor(short_side * min(1.0, MAX_ASPECT / aspect)))


def letterbox(
    image: np.ndarray,
    short_side: int,
    fill: Sequence[float] | np.ndarray,
    multiple: int = 64,
) -> tuple[np.ndarray, np.ndarray]:
    """Brings an image's short side to `short_side`, aspect ratio kept.

    The content stands at the top left, padding at the right and bottom.

    Args:
        image: `[H, W, 3]` uint8.
        short_side: In pixels.
        fill: `[3]`, RGB of the padding: the model's mean colour, which is 0 behind its
            first layer.
        multiple: Both padded sides are multiples of it.

    Returns:
        The padded image `[H', W', 3]` float32 in 0..255, and the scale `[2]` float32
        (x, y): `original_points` undoes it.
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
    """Brings an image into a frame of a fixed size, aspect ratio kept.

    Args:
        image: `[H, W, 3]` uint8.
        height: Of the frame.
        width: Of the frame.
        fill: RGB of what the image leaves free, at the right and at the bottom.

    Returns:
        The frame `[height, width, 3]` uint8, and the scale `[2]` float32 (x, y):
        `original_points` undoes it.
    """
    resized, scale = inside_scale(*image.shape[:2], height, width)
    frame = np.broadcast_to(np.array(fill, np.uint8), (height, width, 3)).copy()
    frame[: resized[0], : resized[1]] = resize_image(image, *resized)
    return frame, scale


def inside_scale(
    image_height: int, image_width: int, height: int, width: int
) -> tuple[tuple[int, int], np.ndarray]:
    """The height and width that an image gets in a frame, and the scale (x, y)."""
    scale = min(height / image_height, width / image_width)
    resized_hw = max(1, round(image_height * scale)), max(1, round(image_width * scale))
    ratio = resized_hw[1] / image_width, resized_hw[0] / image_height
    return resized_hw, np.array(ratio, np.float32)


def original_points(points: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Moves points from a letterboxed image back to the original.

    Args:
        points: `[..., 2]` (x, y) in pixels of the network's input.
        scale: `[2]` of `letterbox` or `fit_inside`.

    Returns:
        `[..., 2]` in original pixels.
    """
    return (np.asarray(points, np.float32) + 0.5) / np.asarray(scale) - 0.5

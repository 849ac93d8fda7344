"""Pixels and ignored cells of a crop, sampled bilinearly from an image."""

import math
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from qepose_tf.data.batches.crop import Crop
from qepose_tf.images.decoding import resize_image
from qepose_tf.ops.geometry import STRIDE, resize_matrix

# Coarser sampling than this by a bilinear warp would alias. (OpenCV's own shrinking
# averages whole boxes, which lets fine stripes through.)
_MAX_SHRINK = 2.0


def warp_image(image: np.ndarray, crop: Crop, input_size: int) -> np.ndarray:
    """Fills a crop; outside of the image its border goes on.

    Args:
        image: `[H, W, 3]` uint8.
        crop: From `random_crop`.
        input_size: S.

    Returns:
        `[3, S, S]` uint8, channel by channel: XLA recolours it five times as fast so.
    """
    backwards = crop.backwards
    step = 1 / math.sqrt(crop.area_ratio)
    if step > _MAX_SHRINK:
        hw = image.shape[:2]
        smaller = tuple(math.ceil(side / step) for side in hw)
        image = resize_image(image, *smaller)
        backwards = resize_matrix(hw, smaller).astype(np.float64) @ backwards
    image, backwards = _part_in_sight(image, backwards, input_size)
    pixels = cv2.warpAffine(
        # Equal to the bit and in half of the time: vectors hold whole pixels of four.
        cv2.cvtColor(image, cv2.COLOR_RGB2RGBA),
        backwards[:2],
        (input_size, input_size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    channels = np.empty((4, input_size, input_size), np.uint8)
    cv2.split(pixels, list(channels))
    return channels[:3]


def _part_in_sight(
    image: np.ndarray, backwards: np.ndarray, input_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The part of an image that a crop shows, and the map to its pixels.

    OpenCV counts pixels in 16 bits, and panoramas are longer than that.
    """
    last = input_size - 1
    corners = backwards @ [[0, last, 0, last], [0, 0, last, last], [1, 1, 1, 1]]
    low, high = np.floor(corners[:2].min(axis=1)), np.ceil(corners[:2].max(axis=1))
    # At least a pixel stays: all that is outside shows the border.
    limit = np.array(image.shape[1::-1]) - 1
    left, top = np.clip(low - 1, 0, limit).astype(int)
    right, bottom = np.clip(high + 1, 0, limit).astype(int) + 1
    moved = backwards.copy()
    moved[:2, 2] -= (left, top)
    return image[top:bottom, left:right], moved


@tf.function(jit_compile=True, autograph=False)
def covered(backwards: tf.Tensor, image_hw: tf.Tensor, input_size: int) -> tf.Tensor:
    """How much of each pixel of crops their images cover.

    Args:
        backwards: `[B, 2, 3]` float32, of `Crop.backwards`.
        image_hw: `[B, 2]` float32, height and width.
        input_size: S.

    Returns:
        `[B, S, S]` float32, 0 to 1.
    """
    steps = tf.range(input_size, dtype=tf.float32)
    # [B, 1, 1] each
    entries = tf.unstack(tf.reshape(backwards, [-1, 6, 1, 1]), num=6, axis=1)
    height, width = tf.unstack(tf.reshape(image_hw, [-1, 2, 1, 1]), num=2, axis=1)
    a, b, left, c, d, top = entries

    def margin(across: Any, down: Any, start: Any, length: Any) -> tf.Tensor:
        place = across * steps + (down * tf.reshape(steps, [-1, 1]) + start)
        return tf.minimum(place + 0.5, length - 0.5 - place)  # [B, S, S]

    step = tf.sqrt(tf.abs(a * d - b * c))
    inside = tf.minimum(margin(a, b, left, width), margin(c, d, top, height)) / step
    return tf.clip_by_value(inside + 0.5, 0.0, 1.0)


def warp_ignore(
    ignore: np.ndarray, image_hw: tuple[int, int], crop: Crop, input_size: int
) -> np.ndarray:
    """Moves an ignore mask to the stride-4 cells of the crop.

    Args:
        ignore: `[h, w]`, 1 = ignored; covers the whole image at any resolution.
        image_hw: Height and width of the image that the crop was drawn for.
        crop: From `random_crop`.
        input_size: S.

    Returns:
        `[S/4, S/4]` bool: ignored, as everything outside of the image is.
    """
    steps = np.arange(0, input_size, STRIDE)
    places = [
        np.add.outer(row[1] * steps + row[2], row[0] * steps)
        for row in crop.backwards[:2]
    ]
    ignored = np.zeros((len(steps), len(steps)), bool)
    for place, length in zip(places, image_hw[::-1], strict=True):
        ignored |= (place < -0.5) | (place > length - 0.5)
    if ignore.any():
        ignored |= _bilinear(ignore, image_hw, *places) > 0.5
    return ignored


def _bilinear(
    mask: np.ndarray, image_hw: tuple[int, int], x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """A mask, laid over the image, at places in pixels of the image."""
    sides = []
    for place, length, image_length in zip((y, x), mask.shape, image_hw, strict=True):
        place = (place + 0.5) * (length / image_length) - 0.5
        place = np.clip(place, 0.0, length - 1.0)
        first = place.astype(np.int64)
        sides.append((first, np.minimum(first + 1, length - 1), place - first))
    (top, bottom, down), (left, right, across) = sides
    upper = mask[top, left] * (1 - across) + mask[top, right] * across
    lower = mask[bottom, left] * (1 - across) + mask[bottom, right] * across
    return upper * (1 - down) + lower * down

"""Pixels and ignored cells of a crop, sampled bilinearly from an image.

A pixel is 4 bytes here, red, green, blue and one without meaning: read as one number,
it moves in one go. NumPy fetches the 4 neighbours of every place, which XLA is slow at;
XLA blends them, which would take NumPy 20 passes.
"""

import math

import numpy as np
import tensorflow as tf
from PIL import Image

from qepose_tf.data.batches.crop import Crop
from qepose_tf.images.decoding import four_bytes
from qepose_tf.ops.geometry import STRIDE, resize_matrix

# Coarser sampling than this by a bilinear warp would alias.
_MAX_SHRINK = 2.0
_FRACTION_BITS = 16
_FAR = 2**14  # with their fraction, places less far need 32 bits only, half the time
_ALIGNMENT = 64


def neighbours(
    image: np.ndarray, crop: Crop, input_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `blend` needs to fill a crop; outside of the image its border goes on.

    Args:
        image: `[H, W, 4]` uint8, contiguous; the fourth channel means nothing.
        crop: From `random_crop`.
        input_size: S.

    Returns:
        The pixels at the upper left, upper right, lower left and lower right of each
        place `[4, S, S]` uint32, and how far to the right and down it stands between
        them `[2, S, S]` uint16, in 1 / 65536.
    """
    backwards = crop.backwards
    step = 1 / math.sqrt(crop.area_ratio)
    if step > _MAX_SHRINK:
        hw = image.shape[:2]
        smaller = tuple(math.ceil(side / step) for side in hw)
        picture = Image.frombuffer("RGBX", hw[::-1], image, "raw", "RGBX", 0, 1)
        picture = picture.resize(smaller[::-1], Image.Resampling.BILINEAR)
        image = four_bytes(picture)
        backwards = resize_matrix(hw, smaller).astype(np.float64) @ backwards
    height, width = image.shape[:2]
    fractions = _aligned((2, input_size, input_size), np.uint16)
    index = _whole_steps(backwards[1], height, input_size, fractions[1])
    index *= width
    index += _whole_steps(backwards[0], width, input_size, fractions[0])
    index = index.astype(np.intp, copy=False)
    pixels = image.reshape(-1, 4).view(np.uint32)[:, 0]
    corners = _aligned((4, input_size, input_size), np.uint32)
    for corner, offset in zip(corners, (0, 1, width, width + 1), strict=True):
        # Beyond the last pixel or column the fraction is 0, whatever stands there.
        offset = min(offset, pixels.size - 1)
        pixels[offset:].take(index, mode="clip", out=corner)
    return corners, fractions


def _aligned(shape: tuple[int, ...], kind: type) -> np.ndarray:
    """An empty array that TensorFlow takes as it is; others it copies."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size].view(kind).reshape(shape)


def _whole_steps(
    row: np.ndarray, length: int, side: int, fractions: np.ndarray
) -> np.ndarray:
    """Places along one axis of the image, whole and, into `fractions`, the rest."""
    across = row[0] * np.arange(side)
    down = row[1] * np.arange(side) + row[2]
    farthest = max(length, np.abs(down).max() + np.abs(across).max())
    kind = np.int32 if farthest < _FAR else np.int64
    down, across = (
        np.rint(part * 2.0**_FRACTION_BITS).astype(kind) for part in (down, across)
    )
    places = np.add.outer(down, across)
    np.clip(places, 0, (length - 1) << _FRACTION_BITS, out=places)
    fractions[...] = places  # keeps the lower bits
    places >>= _FRACTION_BITS
    return places


@tf.function(jit_compile=True, autograph=False)
def blend(corners: tf.Tensor, fractions: tf.Tensor) -> tf.Tensor:
    """Weighs the neighbours of each place.

    Args:
        corners: `[4, S, S]` uint32 of `neighbours`.
        fractions: `[2, S, S]` uint16 of `neighbours`.

    Returns:
        `[S, S]` uint32, the channels rounded to 8 bits each (see `channel`).
    """
    right, down = tf.unstack(tf.cast(tf.cast(fractions, tf.int32), tf.float32) / 65536)
    packed = tf.zeros_like(corners[0])
    for number in range(3):
        a, b, c, d = tf.unstack(channel(corners, number))
        upper, lower = a + (b - a) * right, c + (d - c) * right
        value = upper + (lower - upper) * down
        whole = tf.cast(tf.cast(value + 0.5, tf.int32), tf.uint32)
        shifted = tf.bitwise.left_shift(whole, tf.constant(8 * number, tf.uint32))
        packed = tf.bitwise.bitwise_or(packed, shifted)
    return packed


def channel(packed: tf.Tensor, number: int) -> tf.Tensor:
    """Red (0), green (1) or blue (2) of packed pixels, as float32 of 0 to 255."""
    shifted = tf.bitwise.right_shift(packed, tf.constant(8 * number, tf.uint32))
    byte = tf.bitwise.bitwise_and(shifted, tf.constant(255, tf.uint32))
    return tf.cast(tf.cast(byte, tf.int32), tf.float32)


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
    backwards = backwards[..., None, None]  # [B, 2, 3, 1, 1]

    def margin(axis: int) -> tf.Tensor:
        down = backwards[:, axis, 1] * steps[:, None] + backwards[:, axis, 2]
        place = backwards[:, axis, 0] * steps + down  # [B, S, S]
        length = image_hw[:, 1 - axis, None, None]
        return tf.minimum(place + 0.5, length - 0.5 - place)

    (a, b), (c, d) = (tf.unstack(backwards[:, i, :2], axis=1) for i in range(2))
    step = tf.sqrt(tf.abs(a * d - b * c))
    inside = tf.minimum(margin(0), margin(1)) / step
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

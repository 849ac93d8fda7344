"""One random affine map, and the people that it moves; `warp` moves the pixels."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class AugmentSettings:
    """How far training images are moved and recoloured.

    Attributes:
        flip: Probability of mirroring.
        rotation: Greatest angle in degrees, either way.
        scale: Range of the crop's side as a multiple of the image's short side; above
            1 zooms out.
        shift: Greatest shift in pixels of the crop, either way and axis.
        brightness: Greatest share of the value range added, either way.
        contrast: Greatest change of the contrast's factor 1, either way.
        saturation: Greatest change of the saturation's factor 1, either way.

    Raises:
        ValueError: A value is outside its range.
    """

    flip: float = 0.5
    rotation: float = 30.0
    scale: tuple[float, float] = (0.75, 1.5)
    shift: float = 40.0
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4

    def __post_init__(self) -> None:
        for name in ("flip", "brightness", "contrast", "saturation"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"augment: {name}: expected 0 to 1, got {value}")
        for name in ("rotation", "shift"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"augment: {name}: expected 0 or more, got {value}")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(
                f"augment: scale: expected two rising positive numbers, "
                f"got {self.scale}"
            )

    @classmethod
    def off(cls) -> "AugmentSettings":
        """The central square of every image, its colours untouched."""
        return cls(0.0, 0.0, (1.0, 1.0), 0.0, 0.0, 0.0, 0.0)

    @property
    def recolours(self) -> bool:
        """Whether colours change at all."""
        return max(self.brightness, self.contrast, self.saturation) > 0


class Crop(NamedTuple):
    """Where an image goes: drawn once, used by everything that moves.

    Attributes:
        matrix: `[3, 3]` float64, pixels of the image -> pixels of the crop.
        flipped: Whether left and right changed places.
    """

    matrix: np.ndarray
    flipped: bool

    @property
    def backwards(self) -> np.ndarray:
        """`[3, 3]` float64, pixels of the crop -> pixels of the image."""
        return np.linalg.inv(self.matrix)

    @property
    def area_ratio(self) -> float:
        """By how much an area grows."""
        (a, b), (c, d) = self.matrix[:2, :2]
        return abs(a * d - b * c)


def crop_draw(seed: tf.Tensor) -> tf.Tensor:
    """What chance has to say about a crop: `[5]` float64 in [0, 1).

    Args:
        seed: `[2]` int; the same seed draws the same numbers.
    """
    return tf.random.stateless_uniform([5], seed, dtype=tf.float64)


def random_crop(
    draw: np.ndarray,
    image_hw: tuple[int, int],
    input_size: int,
    settings: AugmentSettings,
) -> Crop:
    """A square crop about the image's centre.

    Args:
        draw: `[5]` from `crop_draw`.
        image_hw: Height and width.
        input_size: Side of the crop in pixels.
        settings: The ranges.
    """
    flipped = bool(draw[0] < settings.flip)
    angle = (2 * draw[1] - 1) * math.radians(settings.rotation)
    low, high = settings.scale
    zoom = input_size / ((low + (high - low) * draw[2]) * min(image_hw))
    shift = (2 * draw[3:5] - 1) * settings.shift
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    # A pixel's centre is an integer: an image's centre stands half a pixel before w/2.
    centre = np.array(image_hw[::-1]) / 2 - 0.5
    origin = input_size / 2 - 0.5 + shift - linear @ centre
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, origin
    if flipped:
        matrix[0] = -matrix[0]
        matrix[0, 2] += input_size - 1.0
    return Crop(matrix, flipped)


def warp_keypoints(
    keypoints: np.ndarray, crop: Crop, flip_permutation: tuple[int, ...]
) -> np.ndarray:
    """Moves keypoints into the crop; left and right change places in a flipped one.

    Args:
        keypoints: `[M, K, 3]` float32 (x, y, v) in pixels of the image.
        crop: From `random_crop`.
        flip_permutation: K indices, of the skeleton.

    Returns:
        `[M, K, 3]` in pixels of the crop; v is kept outside it too, and unlabelled
        keypoints are 0.
    """
    matrix = crop.matrix.astype(np.float32)
    x, y, v = (keypoints[..., i] for i in range(3))
    moved = np.zeros_like(keypoints)
    for axis in range(2):
        to_x, to_y, shift = matrix[axis]
        moved[..., axis] = to_x * x + to_y * y + shift
    moved[..., 2] = v
    moved[~(v > 0)] = 0.0
    return moved[:, list(flip_permutation)] if crop.flipped else moved


def warp_area(area: np.ndarray, crop: Crop) -> np.ndarray:
    """Areas `[M]` in pixels of the crop squared."""
    return area * area.dtype.type(crop.area_ratio)

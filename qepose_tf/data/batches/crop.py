"""One random affine map, and the people that it moves; `warp` moves the pixels."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

_LEAST_VIEW = 0.25  # of the image's short side, that a crop about a person shows


@dataclasses.dataclass(frozen=True)
class AugmentSettings:
    """How far training images are moved and recoloured.

    Attributes:
        flip: Probability of mirroring.
        rotation: Greatest angle in degrees, either way.
        scale: Range of the crop's side as a multiple of the image's short side; above
            1 zooms out.
        shift: Greatest shift in pixels of the crop, either way and axis.
        person_crop: Probability that a crop is laid about one person instead of the
            image's centre, so that people are learned who fill the picture.
        person_scale: Range of such a crop's side as a multiple of the longer side of
            the box around the person's labelled keypoints.
        brightness: Greatest share of the value range added, either way.
        contrast: Greatest change of the contrast's factor 1, either way.
        saturation: Greatest change of the saturation's factor 1, either way.

    Raises:
        ValueError: A value is outside its range.

    Example:
        >>> AugmentSettings(rotation=10.0, scale=(0.5, 1.5)).flip
        0.5
    """

    flip: float = 0.5
    rotation: float = 30.0
    scale: tuple[float, float] = (0.75, 1.5)
    shift: float = 40.0
    person_crop: float = 0.0
    person_scale: tuple[float, float] = (1.1, 3.0)
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4

    def __post_init__(self) -> None:
        for name in ("flip", "person_crop", "brightness", "contrast", "saturation"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"augment: {name}: expected 0 to 1, got {value}")
        for name in ("rotation", "shift"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"augment: {name}: expected 0 or more, got {value}")
        for name in ("scale", "person_scale"):
            value = getattr(self, name)
            if len(value) != 2 or not 0 < value[0] <= value[1] < math.inf:
                raise ValueError(
                    f"augment: {name}: expected two rising positive numbers, "
                    f"got {value}"
                )

    @classmethod
    def off(cls) -> "AugmentSettings":
        """The central square of every image, its colours untouched."""
        return cls(
            flip=0.0,
            rotation=0.0,
            scale=(1.0, 1.0),
            shift=0.0,
            brightness=0.0,
            contrast=0.0,
            saturation=0.0,
        )

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


def view_draw(seed: tf.Tensor) -> tf.Tensor:
    """What chance has to say about a view: `[2]` float64 in [0, 1).

    Args:
        seed: `[2]` int, the same as that of the crop.
    """
    seed = tf.random.experimental.stateless_fold_in(seed, 1)
    return tf.random.stateless_uniform([2], seed, dtype=tf.float64)


class View(NamedTuple):
    """What a crop is laid about.

    Attributes:
        centre: `[2]` (x, y) in pixels of the image.
        side: That a scale of 1 shows, in the same pixels.
        scale: Range of the crop's side as a multiple of it.
    """

    centre: np.ndarray
    side: float
    scale: tuple[float, float]


def choose_view(
    draw: np.ndarray,
    image_hw: tuple[int, int],
    keypoints: np.ndarray,
    settings: AugmentSettings,
) -> View:
    """The whole image, or at random one of its people.

    Args:
        draw: `[2]` in [0, 1): whether it is a person, and which.
        image_hw: Height and width.
        keypoints: `[M, K, 3]` (x, y, v) in pixels of the image, of those who may be
            chosen.
        settings: The probability and the ranges.
    """
    if draw[0] < settings.person_crop and len(keypoints):
        person = keypoints[int(draw[1] * len(keypoints))]
        points = person[person[:, 2] > 0, :2]
        low, high = points.min(axis=0), points.max(axis=0)
        # Somebody who is small, or shows one keypoint, is not blown up to fill it.
        side = max(float((high - low).max()), _LEAST_VIEW * min(image_hw))
        return View((low + high) / 2, side, settings.person_scale)
    # A pixel's centre is an integer: an image's centre stands half a pixel before w/2.
    centre = np.array(image_hw[::-1]) / 2 - 0.5
    return View(centre, min(image_hw), settings.scale)


def random_crop(
    draw: np.ndarray, view: View, input_size: int, settings: AugmentSettings
) -> Crop:
    """A square crop about a view.

    Args:
        draw: `[5]` from `crop_draw`.
        view: From `choose_view`.
        input_size: Side of the crop in pixels.
        settings: The ranges.
    """
    flipped = bool(draw[0] < settings.flip)
    angle = (2 * draw[1] - 1) * math.radians(settings.rotation)
    low, high = view.scale
    zoom = input_size / ((low + (high - low) * draw[2]) * view.side)
    shift = (2 * draw[3:5] - 1) * settings.shift
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    origin = input_size / 2 - 0.5 + shift - linear @ view.centre
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

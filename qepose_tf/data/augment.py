"""One random affine map that moves image, keypoints, area and ignore mask together."""

import dataclasses
import math
from typing import NamedTuple

import tensorflow as tf

from qepose_tf.ops.geometry import STRIDE, transform_points

# Coarser sampling than this by a bilinear warp would alias.
_MAX_SHRINK = 2.0


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
        flipped: bool, whether left and right changed places.
    """

    matrix: tf.Tensor
    flipped: tf.Tensor


def random_crop(
    seed: tf.Tensor, image_hw: tf.Tensor, input_size: int, settings: AugmentSettings
) -> Crop:
    """Draws a square crop about the image's centre.

    Args:
        seed: `[2]` int; the same seed draws the same crop.
        image_hw: `[2]` height and width.
        input_size: Side of the crop in pixels.
        settings: The ranges.
    """
    draw = tf.random.stateless_uniform([5], seed, dtype=tf.float64)
    flipped = draw[0] < settings.flip
    angle = (2 * draw[1] - 1) * math.radians(settings.rotation)
    low, high = settings.scale
    hw = tf.cast(image_hw, tf.float64)
    zoom = input_size / ((low + (high - low) * draw[2]) * tf.reduce_min(hw))
    shift = (2 * draw[3:5] - 1) * settings.shift
    cos, sin = zoom * tf.cos(angle), zoom * tf.sin(angle)
    linear = tf.stack([[cos, -sin], [sin, cos]])
    # A pixel's centre is an integer: an image's centre stands half a pixel before w/2.
    centre = tf.reverse(hw, [0]) / 2 - 0.5
    origin = input_size / 2 - 0.5 + shift - tf.linalg.matvec(linear, centre)
    mirror = tf.where(flipped, tf.constant(-1.0, tf.float64), 1.0)
    beyond = tf.where(flipped, tf.constant(input_size - 1.0, tf.float64), 0.0)
    matrix = tf.stack(
        [
            [mirror * linear[0, 0], mirror * linear[0, 1], mirror * origin[0] + beyond],
            [linear[1, 0], linear[1, 1], origin[1]],
            tf.constant([0.0, 0.0, 1.0], tf.float64),
        ]
    )
    return Crop(matrix, flipped)


def warp_image(
    image: tf.Tensor, crop: Crop, input_size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts the crop out of an image, whose border goes on outside of it.

    Args:
        image: `[H, W, 3]` uint8.
        crop: From `random_crop`.
        input_size: S.

    Returns:
        The crop `[S, S, 3]` float32 of 0 to 255, and how much of each pixel the image
        covers `[S, S, 1]`.
    """
    pixels = tf.cast(image, tf.float32)
    hw = tf.shape(image)[:2]
    backwards = tf.linalg.inv(crop.matrix)
    step = tf.cast(tf.sqrt(tf.abs(_determinant(backwards))), tf.float32)
    smaller = tf.math.ceil(tf.cast(hw, tf.float32) / tf.maximum(step, 1.0))
    smaller = tf.cast(smaller, tf.int32)
    pixels, from_pixels = tf.cond(
        step > _MAX_SHRINK,
        lambda: (
            tf.image.resize(pixels, smaller, antialias=True),
            _resize_matrix(hw, smaller) @ backwards,
        ),
        lambda: (pixels, backwards),
    )
    margin = _margin(hw, backwards, input_size) / step
    covered = tf.clip_by_value(margin + 0.5, 0.0, 1.0)
    return _warp(pixels, from_pixels, input_size), covered[..., None]


def warp_ignore(
    ignore: tf.Tensor, image_hw: tf.Tensor, crop: Crop, input_size: int
) -> tf.Tensor:
    """Moves an ignore mask to the stride-4 cells of the crop.

    Args:
        ignore: `[h, w]`, 1 = ignored; covers the whole image at any resolution.
        image_hw: `[2]` height and width of the image that the crop was drawn for.
        crop: From `random_crop`.
        input_size: S.

    Returns:
        `[S/4, S/4, 1]` float32; 1 = ignored, outside the image too.
    """
    ignore = tf.cast(ignore, tf.float32)[..., None]
    from_cells = tf.linalg.diag(tf.constant([STRIDE, STRIDE, 1.0], tf.float64))
    to_mask = _resize_matrix(image_hw, tf.shape(ignore)[:2])
    backwards = tf.linalg.inv(crop.matrix) @ from_cells
    ignored = _warp(ignore, to_mask @ backwards, input_size // STRIDE) > 0.5
    outside = _margin(image_hw, backwards, input_size // STRIDE) < 0
    return tf.cast(ignored | outside[..., None], tf.float32)


def warp_keypoints(
    keypoints: tf.Tensor, crop: Crop, flip_permutation: tuple[int, ...]
) -> tf.Tensor:
    """Moves keypoints into the crop; left and right change places in a flipped one.

    Args:
        keypoints: `[M, K, 3]` (x, y, v) in pixels of the image.
        crop: From `random_crop`.
        flip_permutation: K indices, of the skeleton.

    Returns:
        `[M, K, 3]` in pixels of the crop; v is kept outside it too, and unlabelled
        keypoints are 0.
    """
    labelled = keypoints[..., 2:] > 0
    points = transform_points(keypoints[..., :2], crop.matrix)
    moved = tf.concat([points, keypoints[..., 2:]], axis=-1)
    moved = tf.where(labelled, moved, 0.0)
    mirrored = tf.gather(moved, tf.constant(flip_permutation), axis=1)
    return tf.where(crop.flipped, mirrored, moved)


def warp_area(area: tf.Tensor, crop: Crop) -> tf.Tensor:
    """Areas `[M]` in pixels of the crop squared."""
    return area * tf.cast(tf.abs(_determinant(crop.matrix)), area.dtype)


def _determinant(matrix: tf.Tensor) -> tf.Tensor:
    return matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]


def _resize_matrix(source_hw: tf.Tensor, target_hw: tf.Tensor) -> tf.Tensor:
    """As `ops.geometry.resize_matrix`, for sizes known only in the graph."""
    scale = tf.cast(tf.reverse(target_hw, [0]), tf.float64) / tf.cast(
        tf.reverse(source_hw, [0]), tf.float64
    )
    linear = tf.linalg.diag(tf.concat([scale, [1.0]], axis=0))
    shift = tf.concat([0.5 * scale - 0.5, [0.0]], axis=0)
    return linear + shift[:, None] * tf.constant([[0.0, 0.0, 1.0]], tf.float64)


def _margin(image_hw: tf.Tensor, backwards: tf.Tensor, side: int) -> tf.Tensor:
    """How far inside the image each pixel of a square stands: `[side, side]`."""
    steps = tf.range(side, dtype=tf.float32)
    matrix = tf.cast(backwards, tf.float32)
    hw = tf.cast(image_hw, tf.float32)

    def along(axis: int, length: tf.Tensor) -> tf.Tensor:
        down = matrix[axis, 1] * steps + matrix[axis, 2]
        position = matrix[axis, 0] * steps[None] + down[:, None]
        return tf.minimum(position + 0.5, length - 0.5 - position)

    return tf.minimum(along(0, hw[1]), along(1, hw[0]))


def _warp(image: tf.Tensor, backwards: tf.Tensor, side: int) -> tf.Tensor:
    """Samples `[H, W, C]` where `backwards` sends the pixels of a square."""
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.cast(tf.reshape(backwards, [1, 9])[:, :8], tf.float32),
        output_shape=[side, side],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )[0]
    return tf.ensure_shape(warped, [side, side, image.shape[-1]])

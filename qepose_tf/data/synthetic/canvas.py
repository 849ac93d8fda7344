"""A picture and, pixel by pixel, which shape was painted there last.

Coordinates are those of the finished picture (a pixel's centre has integer
coordinates); everything is painted at twice its size and averaged down.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SUPERSAMPLING = 2
BACKGROUND = 0

Colour = tuple[int, int, int]

_ANGLES = np.arange(12) * (2 * np.pi / 12)
_ARC = np.arange(8) / 7
_RING = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=-1)


class Canvas:
    """Paints filled outlines and remembers the topmost shape at every pixel.

    `background` is enlarged smoothly to `size`, the (width, height) of the picture.
    """

    def __init__(self, background: Image.Image, size: tuple[int, int]) -> None:
        self.size = size
        large = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
        self._image = background.resize(large, Image.Resampling.BICUBIC)
        self._shapes = Image.new("I", large, BACKGROUND)
        self._paint = ImageDraw.Draw(self._image)
        self._mark = ImageDraw.Draw(self._shapes)

    def fill(
        self,
        outline_px: np.ndarray,
        colour: Colour,
        shape: int,
        edge: Colour | None = None,
    ) -> None:
        """Fills the polygon `outline_px` [N, 2] and marks it as `shape`."""
        # Pillow's polygons have integers at the pixels' corners, not their centres.
        points = list(map(tuple, (to_large(outline_px) + 0.5).tolist()))
        self._paint.polygon(points, fill=colour, outline=edge)
        self._mark.polygon(points, fill=shape)

    def shapes(self) -> np.ndarray:
        """Returns the topmost shape [2H, 2W] at every painted (large) pixel."""
        return np.asarray(self._shapes)

    def picture(self) -> np.ndarray:
        """Returns the finished picture [H, W, 3], uint8."""
        return np.asarray(self._image.reduce(SUPERSAMPLING))


def to_large(points_px: np.ndarray) -> np.ndarray:
    """Maps finished-picture coordinates to those of the painted, larger picture."""
    return (np.asarray(points_px) + 0.5) * SUPERSAMPLING - 0.5


def whole_colour(numbers: Iterable[float]) -> Colour:
    """Red, green and blue without their fractions."""
    red, green, blue = (int(number) for number in numbers)
    return red, green, blue


def hull_of_circles(
    centres: Sequence[Any] | np.ndarray, radii: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Returns the convex outline [N, 2] around circles: a limb, a torso, a disc."""
    if len(radii) == 1:
        return np.asarray(centres[0]) + radii[0] * _RING
    if len(radii) == 2:  # nearly all shapes: a closed form, ten times faster
        (start, end), (first, last) = centres, radii
        return _capsule(start, end, first, last)
    rings = np.asarray(centres)[:, None] + np.asarray(radii)[:, None, None] * _RING
    points = sorted(map(tuple, rings.reshape(-1, 2).tolist()))
    return np.array(_chain(points)[:-1] + _chain(points[::-1])[:-1])


def _capsule(
    start: Sequence[float], end: Sequence[float], first: float, last: float
) -> np.ndarray:
    """The outline around two circles: an arc at either end, tangents between."""
    x, y = end[0] - start[0], end[1] - start[1]
    length = math.hypot(x, y)
    if length <= abs(first - last):  # one circle lies inside the other
        return np.asarray(start if first > last else end) + max(first, last) * _RING
    direction = math.atan2(y, x)
    spread = math.acos((first - last) / length)
    near = direction + spread + _ARC * (2 * math.pi - 2 * spread)
    far = direction - spread + _ARC * (2 * spread)
    outline = np.empty((2 * len(_ARC), 2))
    for angles, (cx, cy), radius, rows in (
        (near, start, first, slice(None, len(_ARC))),
        (far, end, last, slice(len(_ARC), None)),
    ):
        outline[rows, 0] = cx + radius * np.cos(angles)
        outline[rows, 1] = cy + radius * np.sin(angles)
    return outline


def _chain(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """One half of Andrew's monotone chain over sorted points."""
    chain: list[tuple[float, float]] = []
    for x, y in points:
        while len(chain) > 1:
            (ax, ay), (bx, by) = chain[-2:]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain

"""What finds people in images of the network's size, and what it finds."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np


class Detections(NamedTuple):
    """The people of a batch, by descending score; an empty row scores 0.

    Attributes:
        poses: `[B, P, K, 2]` float32 (x, y) in pixels.
        scores: `[B, P]` float32 in [0, 1].
        keypoint_scores: `[B, P, K]` float32.
    """

    poses: np.ndarray
    scores: np.ndarray
    keypoint_scores: np.ndarray


class ImageDetector(Protocol):
    """What `PoseLoop` needs: a Keras model's `Detector`, or an `ExportedModel`."""

    @property
    def scales(self) -> tuple[float, ...]:
        """The sizes in which an image is looked at, as multiples of its usual one."""

    def short_sides(self, short_side: int) -> list[int]:
        """The short side of an image at each scale, in pixels."""

    def batch_sizes(self, batch_size: int) -> list[int]:
        """The images that run together at each scale."""

    def boxed(
        self, image: np.ndarray, short_side: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """An image as `detect` takes it, and the scale `[2]` of `original_points`."""

    def detect(self, images: Any) -> Detections:
        """The people of a batch of such images, in their pixels."""

    def merge(
        self, views: Sequence[Detections], cells_px: Sequence[float] | None = None
    ) -> Detections:
        """The people of images that were seen at every scale."""

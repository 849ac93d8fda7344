"""All labelled people of a data set, in arrays that a question is put to at once."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from qepose_tf.data.coco.dataset import ImageRecord


@dataclasses.dataclass(frozen=True, eq=False)
class People:
    """The N people of I pictures.

    Attributes:
        picture: `[N]` the row of each one's picture.
        keypoints: `[N, K, 3]` float64 (x, y, v) in pixels; v = 0 is unlabelled.
        boxes: `[N, 4]` float64 (x, y, width, height).
        area: `[N]` float64, in square pixels.
        short_side: `[N]` float64, of each one's picture, in pixels.
    """

    picture: np.ndarray
    keypoints: np.ndarray
    boxes: np.ndarray
    area: np.ndarray
    short_side: np.ndarray

    def __len__(self) -> int:
        return len(self.picture)

    @property
    def labelled(self) -> np.ndarray:
        """`[N, K]` bool."""
        return self.keypoints[..., 2] > 0

    @property
    def visible(self) -> np.ndarray:
        """`[N, K]` bool; the labelled others are hidden."""
        return self.keypoints[..., 2] > 1


def people_of(records: Sequence[ImageRecord], num_keypoints: int) -> People:
    """The people of pictures, in their order.

    Args:
        records: Of the pictures.
        num_keypoints: K.
    """
    counts = [len(record.area) for record in records]
    shape = {"keypoints": (0, num_keypoints, 3), "boxes": (0, 4), "area": (0,)}
    keypoints, boxes, area = (
        np.concatenate([np.zeros(empty), *(getattr(r, name) for r in records)])
        for name, empty in shape.items()
    )
    short = np.array([min(r.width, r.height) for r in records], np.float64)
    return People(
        np.repeat(np.arange(len(records)), counts),
        *(keypoints, boxes, area, np.repeat(short, counts)),
    )

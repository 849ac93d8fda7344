"""The people found in one picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qepose_tf.data.coco.results import coco_results
from qepose_tf.images.decoding import read_image
from qepose_tf.images.drawing import draw_poses
from qepose_tf.images.frames import Frame
from qepose_tf.skeleton import Skeleton

Source = Path | str | np.ndarray | Image.Image | Frame


@dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read.

    Attributes:
        source: What was given, or a frame of it.
        reason: One line that names it.
    """

    source: Source
    reason: str


@dataclass(frozen=True, eq=False)
class ImagePoses:
    """The people found in one picture, best first; `len` counts them.

    Attributes:
        source: The path, array or image that was given; of a file of several
            pictures, as animations are, the `Frame`.
        image_hw: Height and width of the picture, its EXIF orientation applied.
        poses: `[P, K, 2]` float32 (x, y) in the picture's pixels.
        scores: `[P]` float32, the predicted quality of each pose.
        keypoint_scores: `[P, K]` float32.
        skeleton: What the K keypoints are.
    """

    source: Source
    image_hw: tuple[int, int]
    poses: np.ndarray
    scores: np.ndarray
    keypoint_scores: np.ndarray
    skeleton: Skeleton

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        source = self.source
        if not isinstance(source, str | Path | Frame):
            source = "x".join(map(str, self.image_hw)) + " px"
        best = f", best score {self.scores[0]:.2f}" if len(self) else ""
        return f"<ImagePoses {source}: {len(self)} people{best}>"

    def pixels(self) -> np.ndarray:
        """The picture, `[H, W, 3]` uint8; a file is read again.

        Raises:
            OSError: The file is no longer there.
        """
        if isinstance(self.source, np.ndarray):
            return self.source
        if isinstance(self.source, Image.Image):
            return np.asarray(self.source.convert("RGB"))
        if isinstance(self.source, Frame):
            return self.source.pixels()
        return read_image(self.source, exif=True)

    def draw(self, min_score: float = 0.2, label: bool = False) -> Image.Image:
        """The picture with the people drawn over it.

        Args:
            min_score: People that score less are not drawn.
            label: Whether the score stands beside each person.

        Raises:
            OSError: The picture's file is no longer there.
        """
        drawn = draw_poses(
            self.pixels(),
            self.poses,
            self.scores,
            self.skeleton,
            min_score=min_score,
            label=label,
        )
        return Image.fromarray(drawn)

    def to_coco(self, image_id: int = 1, category_id: int = 1) -> list[dict[str, Any]]:
        """The people as COCO keypoint results.

        Args:
            image_id: Of the picture.
            category_id: Of the people.
        """
        return coco_results(
            [image_id] * len(self),
            self.poses,
            self.scores,
            self.keypoint_scores,
            category_id,
        )

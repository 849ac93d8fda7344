"""The people found in one picture or one frame of a video."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from qepose_tf.data.coco.results import coco_results
from qepose_tf.images.decoding import read_image
from qepose_tf.images.drawing import draw_poses
from qepose_tf.images.frames import Frame
from qepose_tf.images.video import Video, VideoFrame
from qepose_tf.inference.people_tables import data_frame, supervision_objects
from qepose_tf.skeleton import Skeleton

if TYPE_CHECKING:
    import pandas
    import supervision

Source = Path | str | np.ndarray | Image.Image | Frame | VideoFrame | Video


_ROWS = ("poses", "scores", "keypoint_scores")  # of `ImagePoses`, a row per person


@dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read.

    Attributes:
        source: What was given, or a frame of it; the `Video` where it ends early.
        reason: One line that names it.
    """

    source: Source
    reason: str


@dataclass(frozen=True, eq=False)
class ImagePoses:
    """The people found in one picture or frame, best first; `len` counts them.

    An index, slice or mask of people gives the same picture with these people only.

    Attributes:
        source: The path, array or image that was given; of a file of several
            pictures, as animations are, the `Frame`, and of a video the `VideoFrame`.
        image_hw: Height and width of the picture, its EXIF orientation applied.
        poses: `[P, K, 2]` float32 (x, y) in the picture's pixels.
        scores: `[P]` float32, the predicted quality of each pose.
        keypoint_scores: `[P, K]` float32.
        skeleton: What the K keypoints are.
        ids: `[P]` whole numbers from 1 on that people keep from frame to frame; None
            where nobody is followed.

    Example:
        >>> for frame in predictor("clip.mp4"):  # doctest: +SKIP
        ...     print(frame.frame, frame.seconds, frame.boxes, frame[0].poses)
    """

    source: Source
    image_hw: tuple[int, int]
    poses: np.ndarray
    scores: np.ndarray
    keypoint_scores: np.ndarray
    skeleton: Skeleton
    ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, people: Any) -> "ImagePoses":
        rows = np.atleast_1d(np.arange(len(self))[people])
        ids = None if self.ids is None else np.asarray(self.ids)[rows]
        chosen = {name: getattr(self, name)[rows] for name in _ROWS}
        return replace(self, ids=ids, **chosen)

    def __iter__(self) -> "Iterator[ImagePoses]":
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        source = self.source
        if not isinstance(source, str | Path | Frame | VideoFrame):
            source = "x".join(map(str, self.image_hw)) + " px"
        best = f", best score {self.scores[0]:.2f}" if len(self) else ""
        return f"<ImagePoses {source}: {len(self)} people{best}>"

    @property
    def frame(self) -> int | None:
        """The frame's number: from 0 in a video, from 1 in an animation or TIFF."""
        several = isinstance(self.source, Frame | VideoFrame)
        return self.source.number if several else None

    @property
    def seconds(self) -> float | None:
        """When the frame of a video is shown."""
        return self.source.seconds if isinstance(self.source, VideoFrame) else None

    @property
    def boxes(self) -> np.ndarray:
        """`[P, 4]` float32 (x1, y1, x2, y2): the extent of each person's keypoints."""
        ends = self.poses.min(axis=1), self.poses.max(axis=1)
        return np.concatenate(ends, axis=1).astype(np.float32)

    def pixels(self) -> np.ndarray:
        """The picture, `[H, W, 3]` uint8; a file is read again.

        The newest frame of a video is still there. An older one is decoded again,
        which takes long, and is gone where the video is a stream.

        Raises:
            OSError: The file is no longer there.
        """
        if isinstance(self.source, np.ndarray):
            return self.source
        if isinstance(self.source, Image.Image):
            return np.asarray(self.source.convert("RGB"))
        if isinstance(self.source, Frame | VideoFrame):
            return self.source.pixels()
        assert not isinstance(self.source, Video)  # people are found in its frames
        return read_image(self.source, exif=True)

    def draw(self, min_score: float = 0.2, label: bool = False) -> Image.Image:
        """The picture with the people drawn over it, and their ids beside them.

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
            ids=self.ids,
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

    def to_dataframe(self) -> "pandas.DataFrame":
        """The people as a pandas table, a row each.

        Its columns are `frame`, `seconds`, `id`, `score`, the box's `x1`, `y1`, `x2`
        and `y2`, and `NAME_x`, `NAME_y`, `NAME_score` for every keypoint. What a
        picture does not have, as `seconds`, is missing (`NA`).

        Raises:
            ImportError: pandas is not installed.
        """
        return data_frame(self)

    def to_supervision(self) -> "tuple[supervision.KeyPoints, supervision.Detections]":
        """The people as the package supervision takes them.

        Returns:
            `supervision.KeyPoints` with a confidence for each keypoint, and
            `supervision.Detections` with boxes, scores and, where people are
            followed, `tracker_id`.

        Raises:
            ImportError: supervision is not installed.
        """
        return supervision_objects(self)

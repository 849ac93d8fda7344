"""What a person sees of a data set: a few lines, and an image with its people."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from qepose_tf.data.coco.ignore_regions import Region
from qepose_tf.data.coco.pictures import Annotated, read_record_image
from qepose_tf.images.drawing import draw_poses
from qepose_tf.skeleton import Skeleton


class Record(Annotated, Protocol):
    """Those attributes of an `ImageRecord` that are shown."""

    @property
    def keypoints(self) -> np.ndarray:
        """`[M, K, 3]` (x, y, v)."""
        ...

    @property
    def area(self) -> np.ndarray:
        """`[M]` in pixels squared."""
        ...

    @property
    def ignore(self) -> tuple[Region, ...]:
        """Regions that are ignored."""
        ...

    @property
    def everyone_labelled(self) -> bool:
        """Whether nobody else may stand in the image."""
        ...


def summary(skeleton: Skeleton, records: Sequence[Record]) -> str:
    """What is in a data set.

    Args:
        skeleton: What the K keypoints are.
        records: Of the images.
    """
    people = [len(record.area) for record in records]
    labelled = np.zeros(skeleton.num_keypoints, np.int64)
    for record in records:
        labelled += (record.keypoints[..., 2] > 0).sum(axis=0)
    areas = np.concatenate([record.area for record in records] or [np.zeros(0)])
    most = max(people, default=0)
    lines = [
        f"images            {len(records)}, {sum(map(bool, people))} with people",
        f"people            {sum(people)}, at most {most} in an image",
        f"ignored regions   {sum(len(record.ignore) for record in records)}",
    ]
    if len(areas):
        low, middle, high = np.sqrt(np.quantile(areas, (0.1, 0.5, 0.9)))
        lines.append(
            f"square root area  {low:.0f} px (10 %), {middle:.0f} px (median), "
            f"{high:.0f} px (90 %)"
        )
    partly = sum(not record.everyone_labelled for record in records)
    if partly:
        lines.append(f"partly labelled   {partly} images: background unknown")
    lines += [
        f"{name:<17} labelled {count} times"
        for name, count in zip(skeleton.keypoints, labelled, strict=True)
    ]
    return "\n".join(lines)


def plot(skeleton: Skeleton, record: Record) -> Image.Image:
    """An image with its labelled people; unlabelled keypoints are left out.

    Args:
        skeleton: What the K keypoints are.
        record: Of the image.

    Raises:
        OSError: The image's file cannot be read.
        ValueError: The image's file is broken.
    """
    drawn = draw_poses(
        read_record_image(record),
        record.keypoints[..., :2],
        np.ones(len(record.area)),
        skeleton,
        keypoint_visible=record.keypoints[..., 2] > 0,
    )
    return Image.fromarray(drawn)

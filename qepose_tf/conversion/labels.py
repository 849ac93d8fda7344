"""What every reader gives: pictures, the people in them, and the keypoints' names."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Points = dict[str, tuple[float, float, float]]
Box = tuple[float, float, float, float]


@dataclasses.dataclass
class Person:
    """Someone, or some animal, in a picture.

    Attributes:
        points: (x, y, v) in pixels by the keypoint's name; v is 1 for hidden and 2 for
            visible. What is not labelled is not there.
        box: (x, y, width, height) in pixels; None where the source has none.
        area: In pixels squared; None where the source has none.
        fields: What else a COCO annotation says, such as `iscrowd`.
    """

    points: Points
    box: Box | None = None
    area: float | None = None
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame of a video, read when it is written.

    Attributes:
        video: The video's file; messages name it.
        index: From 0.
        read: Gives the frame, `[H, W, C]` or `[H, W]` uint8.
    """

    video: str
    index: int
    read: Callable[[], np.ndarray]

    def __str__(self) -> str:
        return f"frame {self.index} of {self.video}"


@dataclasses.dataclass(frozen=True)
class Embedded:
    """A picture that lies inside the file with its labels.

    Attributes:
        name: That messages show, and whose suffix the written file gets.
        content: The encoded picture.
    """

    name: str
    content: bytes

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass
class Picture:
    """One picture with its people.

    Attributes:
        source: Where it is; a path may be of a file that is missing.
        group: The video or folder that it comes from; a group is never divided between
            train and val unless there is no other.
        people: In the source's order.
        size: (width, height) that the source says was annotated; None if it says none.
        split: "train" or "val" where the source has decided; else None.
        named: What the source calls it, where it was looked for by a part of that.
        fields: What else a COCO image says, such as `all_people_labelled`.
    """

    source: Path | Frame | Embedded
    group: str
    people: list[Person]
    size: tuple[int, int] | None = None
    split: str | None = None
    named: str | None = None
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int]:
        """Equal for two entries of the same picture."""
        if isinstance(self.source, Frame):
            return self.source.video, self.source.index
        return str(self.source), -1


@dataclasses.dataclass
class LabelSet:
    """What a source holds.

    Attributes:
        form: The name of its format, as messages call it.
        name: Of the skeleton and the category.
        keypoints: Names, in order.
        pictures: In the source's order.
        limbs: Pairs of names.
        flip_pairs: Pairs of names that a mirror exchanges; None where the source does
            not say, and they are guessed from the names.
        sigmas: By keypoint; None where nothing is known.
        upright: Whether the tool shows pictures as the camera's orientation tag says,
            as all but COCO's tools do.
        remarks: What the user should know of how it was read.
        skipped: What was left out: how many, what, and the first.
    """

    form: str
    name: str
    keypoints: tuple[str, ...]
    pictures: list[Picture]
    limbs: tuple[tuple[str, str], ...] = ()
    flip_pairs: tuple[tuple[str, str], ...] | None = None
    sigmas: tuple[float, ...] | None = None
    upright: bool = True
    remarks: list[str] = dataclasses.field(default_factory=list)
    skipped: list[tuple[int, str, object]] = dataclasses.field(default_factory=list)


def names_in_order(pictures: list[Picture]) -> tuple[str, ...]:
    """The names of all labelled keypoints in the order in which they first appear."""
    people = (person for picture in pictures for person in picture.people)
    return tuple(dict.fromkeys(name for person in people for name in person.points))

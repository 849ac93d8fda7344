"""Train and val: whole videos or folders, for frames of one look alike."""

import random
import re
from pathlib import Path
from typing import Any

from qepose_tf.conversion.labels import Frame, Picture

Halves = tuple[list[Picture], list[Picture]]


def split(pictures: list[Picture], share: float, seed: int) -> tuple[Halves, str]:
    """Divides pictures by their groups.

    Groups go to val, in an order of chance, as long as val does not get more than its
    share of the pictures with people; one more may bring it closer. With one group its
    last pictures are val: a block, because neighbours in time are nearly equal. Groups
    without people are for training.

    Args:
        pictures: In any order; each once.
        share: Of the pictures with people that go to val, below 1; 0 puts all in train.
        seed: Of the groups' order.

    Returns:
        Train and val, each by group and in the order of names or frames; and how it
        was done, in a few words.

    Raises:
        ValueError: Fewer than two pictures have people, so that one side had none.
    """
    ordered = sorted(pictures, key=lambda p: (_natural(p.group), _place_in_group(p)))
    if share == 0:
        return (ordered, []), "not at all: everything is train"
    weights: dict[str, int] = {}
    for picture in ordered:
        weights[picture.group] = weights.get(picture.group, 0) + _has_people(picture)
    populated = [group for group, weight in weights.items() if weight]
    if sum(weights.values()) < 2:
        raise ValueError(
            "expected two pictures with labelled people, one for train and one for "
            f"val, got {sum(weights.values())}; --val-share 0 writes train alone"
        )
    if len(populated) == 1:
        return _blocks(ordered, populated[0], share), (
            "in two blocks of the only video or folder: what val says of other videos "
            "is too good"
        )
    val = _chosen(populated, weights, share, seed)
    halves = (
        [picture for picture in ordered if picture.group not in val],
        [picture for picture in ordered if picture.group in val],
    )
    return halves, f"by video or folder: {len(val)} of {len(weights)} are val"


def split_of_source(pictures: list[Picture]) -> Halves | None:
    """The source's own train and val, if it has both, with people, and no overlap."""
    halves = [[p for p in pictures if p.split == s] for s in ("train", "val")]
    if sum(map(len, halves)) < len(pictures):
        return None
    train, val = halves
    both = all(any(map(_has_people, half)) for half in halves)
    return (train, val) if both else None


def _chosen(
    groups: list[str], weights: dict[str, int], share: float, seed: int
) -> set[str]:
    order = list(groups)
    random.Random(seed).shuffle(order)
    left = share * sum(weights.values())
    val: set[str] = set()
    for group in order:
        if weights[group] <= left:
            val.add(group)
            left -= weights[group]
    rest = [group for group in order if group not in val]
    smallest = min(rest, key=lambda group: weights[group])
    # The smallest of the others goes too far; closer than stopping short, perhaps.
    if not val or (len(rest) > 1 and weights[smallest] - left < left):
        val.add(smallest)
    return val


def _blocks(pictures: list[Picture], group: str, share: float) -> Halves:
    of_group = [picture for picture in pictures if picture.group == group]
    others = [picture for picture in pictures if picture.group != group]
    people = [row for row, picture in enumerate(of_group) if _has_people(picture)]
    count = min(max(round(share * len(people)), 1), len(people) - 1)
    first = people[-count]
    return others + of_group[:first], of_group[first:]


def _has_people(picture: Picture) -> bool:
    return any(person.points for person in picture.people)


def _place_in_group(picture: Picture) -> tuple[int, list[Any]]:
    if isinstance(picture.source, Frame):
        return picture.source.index, []
    return 0, _natural(Path(str(picture.source)).as_posix())


def _natural(text: str) -> list[Any]:
    """Sorts picture 9 before picture 10."""
    words = re.split(r"(\d+)", text)
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]

"""The people of a video as one wide table, in the form of DeepLabCut's projects."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qepose_tf.skeleton import Skeleton

_SCORER = "qepose"
_COORDS = ("x", "y", "likelihood")


def write_wide_table(lines: Path, table: Path, skeleton: Skeleton) -> None:
    """Writes the lines of a video as a CSV with a row for each frame.

    Its four header rows are those of a DeepLabCut project with several animals:
    `scorer`, `individuals`, `bodyparts` and `coords`. An individual is `personN`, with
    the number of a followed person, or else the place in its frame, best first. What
    was not found is empty.

    Args:
        lines: The JSON lines of a video.
        table: The CSV to write.
        skeleton: What the keypoints are.
    """
    names = sorted({name for _, people in _frames(lines) for name in people})
    individuals = [f"person{number}" for number in names]
    columns = list(itertools.product(individuals, skeleton.keypoints, _COORDS))
    empty = [""] * len(skeleton.keypoints) * len(_COORDS)
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["scorer", *[_SCORER] * len(columns)])
        for row, kind in enumerate(("individuals", "bodyparts", "coords")):
            rows.writerow([kind, *(column[row] for column in columns)])
        for frame, people in _frames(lines):
            rows.writerow([frame, *(v for n in names for v in people.get(n, empty))])


def _frames(lines: Path) -> Iterator[tuple[int, dict[int, list[Any]]]]:
    """The number of each frame, and the flat keypoints of its people by name."""
    with lines.open(encoding="utf-8") as file:
        for line in map(json.loads, file):
            people = {}
            for place, person in enumerate(line.get("people", ()), start=1):
                name = place if person["id"] is None else person["id"]
                people[name] = list(itertools.chain(*person["keypoints"]))
            yield line["frame"], people

"""DeepLabCut: a table of coordinates per video, and the project's config."""

import csv
import io
import math
import re
from pathlib import Path
from typing import Any

from qepose_tf.conversion.labels import Frame, LabelSet, Person, Picture
from qepose_tf.conversion.places import locate, read_text
from qepose_tf.conversion.sources.yolo import read_yaml
from qepose_tf.conversion.videos import video_frame
from qepose_tf.images.video_sources import VIDEO_SUFFIXES

_HEADS = ("scorer", "individuals", "bodyparts", "coords")
Column = tuple[str, str, str]  # individual, body part, coordinate


def deeplabcut_tables(source: Path) -> list[Path]:
    """The CSV files that a project, its config, its folder or a table stands for."""
    if source.is_dir() or source.name == "config.yaml":
        folder = source if source.is_dir() else source.parent
        found = folder.glob("labeled-data/*/CollectedData*.csv")
        return sorted(found) or sorted(folder.glob("CollectedData*.csv"))
    if source.suffix.lower() == ".csv":
        with source.open(encoding="utf-8-sig", errors="replace") as file:
            return [source] if file.readline().startswith("scorer,") else []
    # DeepLabCut writes each table twice, as .h5 and as .csv.
    table = source.with_suffix(".csv")
    if source.suffix.lower() == ".h5" and table.is_file():
        return deeplabcut_tables(table)
    return []


def read_deeplabcut(source: Path, tables: list[Path], images: Path | None) -> LabelSet:
    """Reads the hand-made labels of DeepLabCut.

    A frame that is no picture on the disk is taken from the video of its folder's
    name, unless the project crops it.

    Args:
        source: What the user named.
        tables: From `deeplabcut_tables`.
        images: Where pictures and videos are looked for first.

    Raises:
        OSError: A file cannot be read.
        ValueError: A table is not what DeepLabCut writes; names file and line.
    """
    config, root = _config(tables[0])
    names: dict[str, None] = {}
    pictures: list[Picture] = []
    empty = []
    for table in tables:
        columns, rows = _read(table)
        names |= dict.fromkeys(part for _, part, _ in columns)
        for line, name, cells in rows:
            people = _people(f"{table}, line {line}", columns, cells)
            if not people:
                empty.append(name)
                continue
            folders = [images, table.parent, root, table.parent.parent]
            place = _place(name, folders, table, config)
            group = place.video if isinstance(place, Frame) else str(place.parent)
            pictures.append(Picture(place, group, people, named=name))
    labels = LabelSet(
        *("DeepLabCut", str(config.get("Task") or source.stem), tuple(names), pictures)
    )
    limbs = [tuple(map(str, limb)) for limb in config.get("skeleton") or ()]
    known = [limb for limb in limbs if len(limb) == 2 and names.keys() >= set(limb)]
    labels.limbs = tuple(known)  # type: ignore[arg-type]
    if len(known) < len(limbs):
        labels.remarks.append(
            f"{len(limbs) - len(known)} limbs of config.yaml lead to no body part"
        )
    if empty:
        labels.skipped.append(
            (
                len(empty),
                "frames without a label; left out, as DeepLabCut does",
                empty[0],
            )
        )
    return labels


def _config(table: Path) -> tuple[dict[str, Any], Path]:
    """The project's config and folder; nothing and the table's folder without one."""
    for folder in list(table.resolve().parents)[:3]:
        if (folder / "config.yaml").is_file():
            content = read_yaml(folder / "config.yaml")
            if isinstance(content, dict):
                return content, folder
    return {}, table.parent


def _read(table: Path) -> tuple[list[Column], list[tuple[int, str, list[str]]]]:
    """The columns, and each row's line, picture and cells."""
    lines = list(csv.reader(io.StringIO(read_text(table))))
    by_name = {line[0]: line for line in lines[:4] if line and line[0] in _HEADS}
    coordinates = by_name.get("coords", [])
    first = next((i for i, cell in enumerate(coordinates) if cell == "x"), 0)
    if not first or not {"scorer", "bodyparts"} <= by_name.keys():
        raise ValueError(
            f"{table}: expected DeepLabCut's table, with rows scorer, bodyparts, coords"
        )
    individuals = by_name.get("individuals", [""] * len(coordinates))
    heads = [individuals, by_name["bodyparts"], coordinates]
    if len({len(row) for row in heads}) != 1:
        raise ValueError(f"{table}: expected head rows of {len(coordinates)} cells")
    columns = list(zip(*(row[first:] for row in heads), strict=True))
    rows = []
    for number, line in enumerate(lines[len(by_name) :], start=len(by_name) + 1):
        if not line:
            continue
        if len(line) != len(coordinates):
            raise ValueError(
                f"{table}, line {number}: expected {len(coordinates)} cells, "
                f"got {len(line)}"
            )
        name = "/".join(filter(None, line[:first])).replace("\\", "/")
        if name.isdigit():
            raise ValueError(
                f"{table}, line {number}: expected a picture's name, got {name}; this "
                "is the analysis of a video, convert its CollectedData*.csv"
            )
        rows.append((number, name, line[first:]))
    return columns, rows


def _people(where: str, columns: list[Column], cells: list[str]) -> list[Person]:
    values: dict[str, dict[str, dict[str, float]]] = {}
    for (individual, part, coordinate), cell in zip(columns, cells, strict=True):
        try:
            number = float(cell or "nan")
        except ValueError:
            raise ValueError(f"{where}: expected a number, got {cell!r}") from None
        values.setdefault(individual, {}).setdefault(part, {})[coordinate] = number
    people = []
    for parts in values.values():
        points = {
            part: (at["x"], at["y"], 2.0)
            for part, at in parts.items()
            if {"x", "y"} <= at.keys() and math.isfinite(at["x"] + at["y"])
        }
        if points:
            people.append(Person(points))
    return people


def _place(
    name: str, folders: list[Path | None], table: Path, config: dict[str, Any]
) -> Path | Frame:
    file = locate(name, folders)
    numbers = re.findall(r"\d+", Path(name).stem)
    if file is not None or not numbers:
        return file or table.parent / Path(name).name
    video = Path(name).parent.name
    cropped = any(
        Path(str(path).replace("\\", "/")).stem == video and _crops(details)
        for path, details in (config.get("video_sets") or {}).items()
    )
    for folder in filter(None, folders):
        for candidate in sorted([*folder.glob(f"{video}.*"), *folder.glob("videos/*")]):
            right = candidate.stem == video
            if right and candidate.suffix.lower() in VIDEO_SUFFIXES and not cropped:
                return video_frame(candidate, int(numbers[-1]))
    return table.parent / Path(name).name


def _crops(details: Any) -> bool:
    """Whether a video's labels are in coordinates of a crop that starts inside."""
    crop = details.get("crop") if isinstance(details, dict) else None
    corners = str(crop or "").strip("[]()").split(",")
    return len(corners) == 4 and any(
        corners[i].strip() not in ("", "0") for i in (0, 2)
    )

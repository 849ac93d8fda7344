"""labelme: a JSON file per picture, whose points belong together by `group_id`."""

import base64
import binascii
from pathlib import Path
from typing import Any

from qepose_tf.conversion.labels import (
    Box,
    Embedded,
    LabelSet,
    Person,
    Picture,
    names_in_order,
)
from qepose_tf.conversion.places import beside, locate, read_json
from qepose_tf.data.coco.content import shown

# How labelme's users and descendants (X-AnyLabeling) mark a point that is hidden.
_HIDDEN = {"occluded", "hidden", "invisible", "difficult"}


def is_labelme(content: Any) -> bool:
    """Whether the content of a JSON file is labelme's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def read_labelme(source: Path, images: Path | None) -> LabelSet:
    """Reads a file of labelme, or all of them in a folder and below it.

    Points of one `group_id` are one animal, a rectangle of that id is its box. Points
    without an id are one animal. A point with a flag `occluded`, or `difficult`, is
    hidden.

    Args:
        source: The file or folder.
        images: Where pictures are looked for first; by default beside their files.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not what labelme writes.
    """
    files = sorted(source.rglob("*.json")) if source.is_dir() else [source]
    pictures = []
    for file in files:
        content = read_json(file)
        if is_labelme(content):
            pictures.append(_picture(file, content, images))
        elif not source.is_dir():
            raise ValueError(f"{file}: expected labelme's JSON with 'shapes'")
    labels = LabelSet("labelme", source.stem, names_in_order(pictures), pictures)
    other = len(files) - len(pictures)
    if other:
        labels.remarks.append(f"{other} JSON files are not labelme's; not read")
    return labels


def _picture(file: Path, content: dict[str, Any], images: Path | None) -> Picture:
    name = content.get("imagePath")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{file}: imagePath: expected a name, got {shown(name)}")
    found = locate(name, [file.parent, *beside(file, images)])
    source: Path | Embedded = found or file.parent / name
    if found is None and content.get("imageData"):
        try:
            data = base64.b64decode(content["imageData"], validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise ValueError(f"{file}: imageData: expected base64") from None
        source = Embedded(str(file.with_suffix(Path(name).suffix)), data)
    match content.get("imageWidth"), content.get("imageHeight"):
        case int() as width, int() as height:
            size = (width, height)
        case _:
            size = None
    folder = found.parent if found else file.parent
    return Picture(source, str(folder), _people(file, content["shapes"]), size)


def _people(file: Path, shapes: list[Any]) -> list[Person]:
    people: dict[Any, Person] = {}
    for number, shape in enumerate(shapes):
        where = f"{file}: shape {number}"
        if not isinstance(shape, dict):
            raise ValueError(f"{where}: expected an object, got {shown(shape)}")
        kind = shape.get("shape_type") or "polygon"
        if kind not in ("point", "rectangle"):
            continue
        group, corners = shape.get("group_id"), _corners(where, shape.get("points"))
        if isinstance(group, list | dict):
            raise ValueError(f"{where}: group_id: expected a number, got {group}")
        if kind == "rectangle":
            box = _box(corners)
            # Without an id it is nobody's box, only a region to ignore.
            key = ("box", number) if group is None else group
            person = people.setdefault(key, Person({}))
            person.box = person.box or box
            continue
        label = shape.get("label")
        if not isinstance(label, str) or not label:
            raise ValueError(f"{where}: label: expected a name, got {shown(label)}")
        person = people.setdefault(group, Person({}))
        if label in person.points:
            of = "without a group_id" if group is None else f"of group_id {group}"
            raise ValueError(
                f"{file}: {label!r} stands twice among the points {of}; give the "
                "points of each animal a group_id of their own"
            )
        person.points[label] = (*corners[0], 1.0 if _hidden(shape) else 2.0)
    return list(people.values())


def _corners(where: str, points: Any) -> list[tuple[float, float]]:
    try:
        corners = [(float(x), float(y)) for x, y in points]
    except (TypeError, ValueError):
        corners = []
    if not corners:
        raise ValueError(f"{where}: points: expected pairs of numbers: {shown(points)}")
    return corners


def _box(corners: list[tuple[float, float]]) -> Box:
    x, y = zip(*corners, strict=True)
    return min(x), min(y), max(x) - min(x), max(y) - min(y)


def _hidden(shape: dict[str, Any]) -> bool:
    flags = shape.get("flags") or {}
    marked = {str(key).lower() for key, value in flags.items() if value}
    marked |= {"difficult"} if shape.get("difficult") is True else set()
    marked.add(str(shape.get("description") or "").strip().lower())
    return bool(marked & _HIDDEN)

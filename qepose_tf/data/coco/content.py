"""What is in an annotation file: its bytes, its objects, and their whole numbers."""

import json
import re
from pathlib import Path
from typing import Any

from qepose_tf.files.locations import Url

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")  # more digits than 64 bits hold


def annotation_bytes(path: Path | Url) -> bytes:
    """What is in an annotation file.

    Raises:
        OSError: There is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such annotation file") from None
    except OSError as error:
        raise OSError(f"{path}: cannot read annotations, {error.strerror}") from None


def parse_coco(path: Path | Url, content: bytes) -> dict[str, Any]:
    """A COCO file's content, with lists of objects where COCO has them.

    Ids, sizes and flags that are whole numbers in another form (`"7"`, `7.0`, and
    `true` for `iscrowd`) become `int`.

    Raises:
        ValueError: It is not COCO's form, or what an annotation counts as cannot be
            told; names the file.
    """
    try:
        content = json.loads(content)
    except (ValueError, RecursionError) as error:  # UTF-8 and JSON errors, long numbers
        raise ValueError(f"{path}: expected a COCO JSON file, {error}") from None
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise ValueError(f"{path}: expected a COCO file, a JSON object, got a {kind}")
    for key in ("images", "annotations", "categories"):
        entries = content.get(key)
        if not isinstance(entries, list):
            raise ValueError(f"{path}: expected a COCO file with a list {key!r}")
        if not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{path}: {key}: expected JSON objects only")
    for image in content["images"]:
        _make_whole(image, ("id", "width", "height"))
    for category in content["categories"]:
        _make_whole(category, ("id",))
    for annotation in content["annotations"]:
        _make_whole(annotation, ("id", "image_id", "category_id"))
        _make_flags(path, annotation)
    return content


def whole_number(value: Any) -> int | None:
    """A number of at most 18 digits, also as text or 7.0; None for anything else."""
    if type(value) is int:
        return value if abs(value) < 10**18 else None
    if isinstance(value, float):
        return int(value) if abs(value) < 2**53 and value.is_integer() else None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    return None


def _make_whole(entry: dict[str, Any], fields: tuple[str, ...]) -> None:
    for field in fields:
        value = entry.get(field)
        if type(value) is not int or abs(value) >= 10**18:
            number = whole_number(value)
            # What is no number stays as text: it is equal to no id.
            if number is not None:
                entry[field] = number
            elif type(value) is int:
                entry[field] = str(value)


def _make_flags(path: Path | Url, annotation: dict[str, Any]) -> None:
    """Checks what decides whether an annotation is a person; null is left out."""
    category = annotation.get("category_id")
    if type(category) is not int:
        _refuse(path, annotation, "category_id")
    for field in ("iscrowd", "num_keypoints"):
        value = annotation.get(field)
        if value is None or type(value) is int:
            continue
        number = int(value) if isinstance(value, bool) else whole_number(value)
        if number is None:
            _refuse(path, annotation, field)
        annotation[field] = number


def _refuse(path: Path | Url, annotation: dict[str, Any], field: str) -> None:
    raise ValueError(
        f"{path}: annotation {shown(annotation.get('id'))}: {field}: expected a whole "
        f"number, got {shown(annotation.get(field))}"
    )


def one_line(text: object) -> str:
    """A file's name or the like in a message: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def shown(value: Any) -> str:
    """Any value of a file in one short line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

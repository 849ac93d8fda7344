"""What is in an annotation file: its bytes, its objects, and their whole numbers."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from qepose_tf.data.coco.numbers import refuse, whole_number
from qepose_tf.data.coco.problems import Problems, shown
from qepose_tf.files.annotation_tools import advice
from qepose_tf.files.locations import Url


def annotation_bytes(path: Path | Url) -> bytes:
    """What is in an annotation file.

    Raises:
        OSError: There is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such annotation file") from None
    except IsADirectoryError:
        raise IsADirectoryError(
            f"{path}: cannot read annotations, expected a COCO JSON file, got a "
            f"folder; one of labelme's or of YOLO's files is converted by "
            f"'qepose convert {path} --out FOLDER'"
        ) from None
    except OSError as error:
        raise OSError(f"{path}: cannot read annotations, {error.strerror}") from None


def parse_coco(
    path: Path | Url, content: bytes, problems: Problems
) -> dict[str, list[dict[str, Any]]]:
    """A COCO file's content, with lists of objects where COCO has them.

    Ids, sizes and flags that are whole numbers in another form (`"7"`, `7.0`, and
    `true` for `iscrowd`) become `int`. Ids of images that are no whole numbers are
    replaced by numbers.

    Args:
        path: The file that messages name.
        content: What is in it.
        problems: Collects what was read otherwise than it is written.

    Raises:
        ValueError: It is not COCO's form, or what an annotation counts as cannot be
            told; names the file.
    """
    try:
        labels = json.loads(content)
    except (ValueError, RecursionError) as error:  # UTF-8 and JSON errors, long numbers
        raise ValueError(
            f"{path}: expected a COCO JSON file, {error}{advice(path, content)}"
        ) from None
    if not isinstance(labels, dict):
        kind = type(labels).__name__
        raise ValueError(
            f"{path}: expected a COCO file, a JSON object, got a {kind}"
            f"{advice(path, content)}"
        )
    parts = ("images", "annotations", "categories")
    for key in parts:
        entries = labels.get(key)
        if not isinstance(entries, list):
            raise ValueError(
                f"{path}: expected a COCO file with a list {key!r}"
                f"{advice(path, content)}"
            )
        if not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{path}: {key}: expected JSON objects only")
    texts = problems.texts
    for image in labels["images"]:
        _make_whole(image, ("id", "width", "height"), "image ", texts)
        _make_labelled_flag(path, image)
    for category in labels["categories"]:
        _make_whole(category, ("id",), "category ", texts)
    for annotation in labels["annotations"]:
        _make_whole(annotation, ("id", "image_id", "category_id"), "", texts)
        _make_flags(path, annotation, texts)
    labels = {key: labels[key] for key in parts}
    _number_images(labels["images"], labels["annotations"], problems)
    return labels


def _make_whole(
    entry: dict[str, Any], fields: tuple[str, ...], part: str, texts: Counter[str]
) -> None:
    for field in fields:
        value = entry.get(field)
        if type(value) is not int or abs(value) >= 10**18:
            number = whole_number(value)
            if number is not None:
                entry[field] = number
                if isinstance(value, str):
                    texts[part + field] += 1
            elif type(value) is int:
                entry[field] = str(value)


def _make_flags(
    path: Path | Url, annotation: dict[str, Any], texts: Counter[str]
) -> None:
    """Checks what decides whether an annotation is a person; null is left out."""
    category = annotation.get("category_id")
    if type(category) is not int:
        refuse(str(path), annotation, "category_id", "a whole number")
    for field in ("iscrowd", "num_keypoints"):
        value = annotation.get(field)
        if value is None or type(value) is int:
            continue
        number = int(value) if isinstance(value, bool) else whole_number(value)
        if number is None:
            refuse(str(path), annotation, field, "a whole number")
        if isinstance(value, str):
            texts[field] += 1
        annotation[field] = number


def _make_labelled_flag(path: Path | Url, image: dict[str, Any]) -> None:
    value = image.get("all_people_labelled")
    if value is None:
        return
    number = int(value) if isinstance(value, bool) else whole_number(value)
    if number not in (0, 1):
        raise ValueError(
            f"{path}: image {shown(image.get('id'))}: all_people_labelled: expected "
            f"0 or 1, got {shown(value)}"
        )
    image["all_people_labelled"] = number


def _number_images(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], problems: Problems
) -> None:
    """Gives images whose id is text, such as a file's name, a number as id, in place.

    The evaluator and prepared files know images by numbers.
    """
    names = [image["id"] for image in images if isinstance(image.get("id"), str)]
    if not names:
        return
    ids = [image.get("id") for image in images]
    ids += [annotation.get("image_id") for annotation in annotations]
    first = 1 + max((number for number in ids if type(number) is int), default=0)
    number_of = {name: n for n, name in enumerate(dict.fromkeys(names), start=first)}
    for entries, field in ((images, "id"), (annotations, "image_id")):
        for entry in entries:
            if isinstance(entry.get(field), str):
                entry[field] = number_of.get(entry[field], entry[field])
    problems.warn(
        f"{len(names)} images have an id that is no whole number (first: "
        f"{shown(names[0])}); they are numbered from {first}, in results as well",
    )

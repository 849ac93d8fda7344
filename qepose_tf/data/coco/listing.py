"""The image list of a COCO file: each file once, and only those that exist."""

import posixpath
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.data.coco.file_names import files_exist
from qepose_tf.data.coco.problems import Problems, one_line, shown
from qepose_tf.files.locations import Url

MAX_SIDE = 1_000_000  # px


def list_images(
    entries: list[dict[str, Any]], limit: int | None, problems: Problems
) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Keeps each file once.

    Args:
        entries: The `images` of a COCO file.
        limit: Keep only so many, the first.
        problems: Collects what was left out.

    Returns:
        The kept entries, and the row in them of every image id; an entry that repeats
        a file under another id leads to the same row.

    Raises:
        ValueError: Two files have the same id.
    """
    images: list[dict[str, Any]] = []
    row_of_id: dict[int, int] = {}
    row_of_file: dict[str, int] = {}
    file_of_id: dict[int, str] = {}
    unusable, repeated = [], []
    for entry in entries:
        if not _usable_image(entry):
            unusable.append(entry)
            continue
        file = posixpath.normpath(entry["file_name"])
        if file_of_id.setdefault(entry["id"], file) != file:
            raise ValueError(
                f"{problems.source}: image id {entry['id']} is that of two files, "
                f"{one_line(file_of_id[entry['id']])} and {one_line(file)}, so their "
                "annotations cannot be told apart; give each image its own id"
            )
        known = row_of_file.get(file)
        if known is not None:
            repeated.append(entry["file_name"])
            row_of_id.setdefault(entry["id"], known)
        elif limit is None or len(images) < limit:
            row_of_id[entry["id"]] = row_of_file[file] = len(images)
            images.append(entry)
    problems.add(
        len(unusable),
        "images without a whole number as id, a file_name and a positive size; "
        "left out",
        f"image {shown(unusable[0].get('id'))}" if unusable else None,
    )
    problems.add(
        len(repeated),
        "images listed more than once, merged by file; the first is kept, with the "
        "annotations of all",
        repeated[0] if repeated else None,
    )
    return images, row_of_id


def existing_images(
    images: list[dict[str, Any]],
    row_of_id: dict[int, int],
    images_dir: Path | Url,
    problems: Problems,
) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Keeps the images that have a file.

    Args:
        images: From `list_images`.
        row_of_id: From `list_images`.
        images_dir: The folder that file names are relative to.
        problems: Collects what was left out.

    Returns:
        As `list_images`.

    Raises:
        ValueError: None of the images has a file.
    """
    exists = files_exist(images_dir, [image["file_name"] for image in images])
    if images and not any(exists):
        raise ValueError(
            f"{problems.source}: none of the {len(images)} images is in {images_dir} "
            f"(first: {one_line(images[0]['file_name'])}){_hint(images_dir, images)}"
        )
    pairs = list(zip(images, exists, strict=True))
    missing = [image["file_name"] for image, there in pairs if not there]
    first = str(images_dir / missing[0]) if missing else None
    problems.add(len(missing), "images without a file; left out", first)
    new_row = np.cumsum(exists) - 1
    images = [image for image, there in pairs if there]
    rows = {key: int(new_row[row]) for key, row in row_of_id.items() if exists[row]}
    return images, rows


def _hint(images_dir: Path | Url, images: list[dict[str, Any]]) -> str:
    """Where the first image is instead, if that can be told."""
    name = images[0]["file_name"].replace("\\", "/")
    base = posixpath.basename(name)
    if base != name and base and files_exist(images_dir, [base])[0]:
        return f"; {one_line(base)} is: leave the folder out of each file_name"
    return ""


def _usable_image(image: dict[str, Any]) -> bool:
    # A bool is an int to Python, and numpy would take it for a size.
    sizes = (image.get("width"), image.get("height"))
    return (
        type(image.get("id")) is int
        and isinstance(image.get("file_name"), str)
        and image["file_name"] != ""
        and all(type(size) is int and 0 < size <= MAX_SIDE for size in sizes)
    )

"""The image list of a COCO file: each file once, and only those that exist."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.data.coco.content import one_line, shown
from qepose_tf.data.coco.problems import Problems
from qepose_tf.files.locations import Url, location

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
    """
    images: list[dict[str, Any]] = []
    row_of_id: dict[int, int] = {}
    row_of_file: dict[str, int] = {}
    unusable, repeated = [], []
    for entry in entries:
        if not _usable_image(entry):
            unusable.append(entry)
            continue
        known = row_of_id.get(entry["id"], row_of_file.get(entry["file_name"]))
        if known is not None:
            repeated.append(entry["file_name"])
            row_of_id.setdefault(entry["id"], known)
        elif limit is None or len(images) < limit:
            row_of_id[entry["id"]] = row_of_file[entry["file_name"]] = len(images)
            images.append(entry)
    problems.add(
        len(unusable),
        "images without a whole number as id, a file_name and a positive size; "
        "left out",
        f"image {shown(unusable[0].get('id'))}" if unusable else None,
    )
    problems.add(
        len(repeated),
        "images listed more than once; the first is kept, all annotations stay",
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
    exists = _exist(images_dir, [image["file_name"] for image in images])
    if images and not any(exists):
        raise ValueError(
            f"{problems.source}: none of the {len(images)} images is in {images_dir} "
            f"(first: {one_line(images[0]['file_name'])})"
        )
    pairs = list(zip(images, exists, strict=True))
    missing = [image["file_name"] for image, there in pairs if not there]
    first = str(images_dir / missing[0]) if missing else None
    problems.add(len(missing), "images without a file; left out", first)
    new_row = np.cumsum(exists) - 1
    images = [image for image, there in pairs if there]
    rows = {key: int(new_row[row]) for key, row in row_of_id.items() if exists[row]}
    return images, rows


def _exist(images_dir: Path | Url, names: list[str]) -> list[bool]:
    if isinstance(images_dir, Path):
        folder = str(images_dir)
        return [os.path.isfile(os.path.join(folder, name)) for name in names]
    # One question per folder: each takes as long as a file would.
    below = {os.path.dirname(name) for name in names}
    found = {name: location(f"{images_dir}/{name}").names() for name in below}
    return [os.path.basename(name) in found[os.path.dirname(name)] for name in names]


def _usable_image(image: dict[str, Any]) -> bool:
    # A bool is an int to Python, and numpy would take it for a size.
    sizes = (image.get("width"), image.get("height"))
    return (
        type(image.get("id")) is int
        and isinstance(image.get("file_name"), str)
        and image["file_name"] != ""
        and all(type(size) is int and 0 < size <= MAX_SIDE for size in sizes)
    )

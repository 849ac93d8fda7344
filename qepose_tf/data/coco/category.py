"""The categories of a COCO file whose keypoints are those of a skeleton."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qepose_tf.data.coco.problems import Problems, one_line, shown
from qepose_tf.files.locations import Url
from qepose_tf.skeleton import BUILTIN, Skeleton


def skeleton_of(path: Path | Url, category: dict[str, Any]) -> Skeleton:
    """The skeleton that a category describes; a built-in one of equal names.

    Args:
        path: The file that messages name.
        category: An entry of a COCO file's `categories`.

    Raises:
        ValueError: It describes no skeleton.
    """
    keypoints = category.get("keypoints")
    for skeleton in BUILTIN.values():
        if keypoints == list(skeleton.keypoints):
            return skeleton
    try:
        return Skeleton.from_coco_category(category)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def category_ids(
    chosen: Sequence[dict[str, Any]], skeleton: Skeleton, problems: Problems
) -> list[int]:
    """The ids of categories; keypoints of other names are warned about.

    Args:
        chosen: Entries of a COCO file's `categories` that have the same keypoints.
        skeleton: What these keypoints are expected to be.
        problems: Collects what the user should know.

    Raises:
        ValueError: An id is no number, or there is another number of keypoints.
    """
    names = [entry.get("name") for entry in chosen]
    for entry in chosen:
        if type(entry.get("id")) is not int:
            raise ValueError(
                f"{problems.source}: category {entry.get('name')!r}: id: expected a "
                f"whole number, got {shown(entry.get('id'))}"
            )
    keypoints = chosen[0].get("keypoints")
    if not keypoints:
        problems.warn(
            f"category {names[0]!r} names no keypoints; they are taken to be those of "
            f"skeleton {skeleton.name!r}, in its order"
        )
        keypoints = list(skeleton.keypoints)
    keypoints = keypoints if isinstance(keypoints, list) else []
    if len(keypoints) != skeleton.num_keypoints:
        raise ValueError(
            f"{problems.source}: category {names[0]!r} has {len(keypoints)} "
            f"keypoints, skeleton {skeleton.name!r} has {skeleton.num_keypoints}"
        )
    if len(chosen) > 1:
        problems.remark(
            logging.INFO,
            f"{len(chosen)} categories with the same keypoints are read as one class: "
            f"{_listed(names)}; data.categories chooses some of them",
        )
    for ours, theirs in zip(skeleton.keypoints, keypoints, strict=True):
        if ours != theirs:
            problems.warn(
                f"keypoint names differ from skeleton {skeleton.name!r}: {theirs!r} "
                f"where {ours!r} is expected; the order is taken to be the same",
            )
            break
    return [entry["id"] for entry in chosen]


def of_categories(
    annotations: list[dict[str, Any]],
    ids: Sequence[int],
    categories: list[dict[str, Any]],
    problems: Problems,
) -> list[dict[str, Any]]:
    """The annotations of some categories.

    Args:
        annotations: Entries of a COCO file.
        ids: Of the categories that are read.
        categories: All of the file's.
        problems: Collects what was left out.

    Raises:
        ValueError: There are annotations, and none is of these categories.
    """
    chosen = [entry for entry in annotations if entry["category_id"] in set(ids)]
    if annotations and not chosen:
        found = sorted({entry["category_id"] for entry in annotations})
        raise ValueError(
            f"{problems.source}: category_id: expected {_listed(ids)}, the id of the "
            f"category that is read, got only {_listed(found)} in "
            f"{len(annotations)} annotations"
        )
    # An id may be anything, and what is no number is no annotation's category.
    listed = [entry.get("id") for entry in categories]
    known = {number for number in listed if type(number) is int}
    strays = [entry for entry in annotations if entry["category_id"] not in known]
    problems.add(
        len(strays),
        "annotations of a category_id that is not listed; left out",
        f"annotation {shown(strays[0].get('id'))}, "
        f"category_id {strays[0]['category_id']}"
        if strays
        else None,
    )
    return chosen


def _listed(values: Sequence[Any]) -> str:
    some = ", ".join(one_line(value) for value in values[:5])
    return some if len(values) <= 5 else f"{some} and {len(values) - 5} more"

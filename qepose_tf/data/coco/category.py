"""The category of a COCO file whose keypoints are those of a skeleton."""

import logging
from pathlib import Path
from typing import Any

from qepose_tf.files.locations import Url
from qepose_tf.skeleton import BUILTIN, Skeleton

logger = logging.getLogger(__name__)


def skeleton_of(
    path: Path | Url, categories: list[dict[str, Any]], name: str | None
) -> Skeleton:
    """The skeleton that a file's category describes; a built-in one of equal names.

    Args:
        path: The file that messages name.
        categories: Of a COCO file.
        name: Of the category. None takes the only one that has keypoints.

    Raises:
        ValueError: There is no such category, more than one, or it describes no
            skeleton.
    """
    chosen = [
        entry
        for entry in categories
        if (entry.get("keypoints") if name is None else entry.get("name") == name)
    ]
    if len(chosen) != 1:
        wanted = "one category with keypoints" if name is None else f"one {name!r}"
        raise ValueError(f"{path}: expected {wanted}, got {len(chosen)}")
    keypoints = chosen[0].get("keypoints")
    for skeleton in BUILTIN.values():
        if keypoints == list(skeleton.keypoints):
            return skeleton
    try:
        return Skeleton.from_coco_category(chosen[0])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def chosen_category(
    path: Path | Url,
    categories: list[dict[str, Any]],
    name: str | None,
    skeleton: Skeleton,
) -> int:
    """The id of a category; keypoints of other names are warned about.

    Args:
        path: The file that messages name.
        categories: Of a COCO file.
        name: Of the category. None takes the only one that has keypoints.
        skeleton: What its keypoints are expected to be.

    Raises:
        ValueError: There is no such category, more than one, or it has another number
            of keypoints.
    """
    names = [entry.get("name") for entry in categories]
    if name is None:
        chosen = [entry for entry in categories if entry.get("keypoints")]
        wanted = "one category with keypoints"
    else:
        chosen = [entry for entry in categories if entry.get("name") == name]
        wanted = f"one category {name!r}"
    if len(chosen) != 1 or type(chosen[0].get("id")) is not int:
        raise ValueError(
            f"{path}: expected {wanted} with a number as id, "
            f"got {len(chosen)} among {names}"
        )
    keypoints = chosen[0].get("keypoints")
    keypoints = keypoints if isinstance(keypoints, list) else []
    if len(keypoints) != skeleton.num_keypoints:
        raise ValueError(
            f"{path}: category {chosen[0].get('name')!r} has {len(keypoints)} "
            f"keypoints, skeleton {skeleton.name!r} has {skeleton.num_keypoints}"
        )
    for ours, theirs in zip(skeleton.keypoints, keypoints, strict=True):
        if ours != theirs:
            logger.warning(
                "%s: keypoint names differ from skeleton %r: %r where %r is expected; "
                "the order is taken to be the same",
                *(path, skeleton.name, theirs, ours),
            )
            break
    return chosen[0]["id"]

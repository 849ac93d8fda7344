"""The annotations of the kept images, each person once."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from qepose_tf.data.coco.numbers import Numbers
from qepose_tf.data.coco.problems import Problems, shown


def kept_annotations(
    annotations: list[dict[str, Any]],
    numbers: Numbers,
    row_of_id: Mapping[int, int],
    listing: list[dict[str, Any]],
    problems: Problems,
) -> list[int]:
    """Which annotations belong to kept images; those that repeat others are left out.

    An annotation repeats another of its image if both have the same id, keypoints and
    box, or are people whose keypoints are equal to the number.

    Args:
        annotations: N entries of a COCO file.
        numbers: What they say in numbers.
        row_of_id: From `list_images`.
        listing: All entries of `images`, those that are not kept included.
        problems: Counts what was left out.

    Returns:
        Rows of `annotations`, in order.

    Raises:
        ValueError: No annotation belongs to an image of the file.
    """
    # By their text, for an id may be anything.
    listed = {str(image.get("id")) for image in listing}
    kept: list[int] = []
    unknown, nowhere, repeated = [], [], []
    seen: dict[str, list[tuple[int, str, str]]] = {}
    for row, annotation in enumerate(annotations):
        image_id = annotation.get("image_id")
        if type(image_id) is int and image_id in row_of_id:
            identity = _identity(annotation, row_of_id[image_id])
            same_id = seen.setdefault(shown(annotation.get("id")), [])
            if annotation.get("id") is not None and identity in same_id:
                repeated.append(annotation)
                continue
            same_id.append(identity)
            kept.append(row)
        elif type(image_id) is not int:
            nowhere.append(annotation)
        elif str(image_id) not in listed:
            unknown.append(annotation)
    unknown += nowhere
    _tell_unknown(len(annotations), unknown, listing, problems)
    problems.add(
        len(repeated),
        "annotations listed more than once; the first is kept",
        f"annotation {shown(repeated[0]['id'])}" if repeated else None,
    )
    return _each_person_once(annotations, numbers, row_of_id, kept, problems)


def _identity(annotation: dict[str, Any], image_row: int) -> tuple[int, str, str]:
    return image_row, str(annotation.get("keypoints")), str(annotation.get("bbox"))


def _tell_unknown(
    count: int,
    unknown: list[dict[str, Any]],
    listing: list[dict[str, Any]],
    problems: Problems,
) -> None:
    if not unknown:
        return
    first = f"annotation {shown(unknown[0].get('id'))}"
    image_id = shown(unknown[0].get("image_id"))
    if listing and len(unknown) == count:
        ids = ", ".join(shown(image.get("id")) for image in listing[:3])
        raise ValueError(
            f"{problems.source}: {first}: image_id: no image has the id {image_id}, "
            f"and none of the {count} annotations has the id of an image; the images' "
            f"ids are {ids}{', ...' if len(listing) > 3 else ''}"
        )
    problems.add(
        len(unknown),
        "annotations of images that are not listed; left out",
        f"{first}, image {image_id}",
    )


def _each_person_once(
    annotations: list[dict[str, Any]],
    numbers: Numbers,
    row_of_id: Mapping[int, int],
    kept: list[int],
    problems: Problems,
) -> list[int]:
    visibility = numbers.keypoints[..., 2]
    posed = np.any(visibility > 0, axis=-1).tolist()
    rows = [row for row in kept if posed[row] and not annotations[row].get("iscrowd")]
    if not rows:
        return kept
    images = [row_of_id[annotations[row]["image_id"]] for row in rows]
    # Where nothing is labelled, any numbers may stand.
    points = np.where(visibility[rows][..., None] > 0, numbers.keypoints[rows], 0.0)
    keys = np.column_stack(
        [np.array(images, np.float64), points.reshape(len(rows), -1)]
    )
    # Bytes compare many times faster than rows of numbers.
    whole = np.ascontiguousarray(keys).view(np.dtype((np.void, keys[0].nbytes)))
    _, first = np.unique(whole.ravel(), return_index=True)
    again = sorted(set(range(len(rows))).difference(first.tolist()))
    if again:
        problems.add(
            len(again),
            "people whose keypoints are those of another one in their image, to the "
            "number; each counts once",
            f"annotation {shown(annotations[rows[again[0]]].get('id'))}",
        )
    left_out = {rows[place] for place in again}
    return [row for row in kept if row not in left_out]

"""What the reader kept, in the form that pycocotools' evaluator of keypoints takes."""

from collections.abc import Sequence
from typing import Any

from qepose_tf.data.coco.annotations import Annotations
from qepose_tf.data.coco.problems import shown


def crowd_index(image: dict[str, Any], source: str) -> float | None:
    """CrowdPose's index of an image; None where it has none.

    Args:
        image: An entry of a COCO file's `images`.
        source: The file's name, for messages.

    Raises:
        ValueError: It is no number from 0 to 1.
    """
    index = image.get("crowdIndex")
    if index is None:
        return None
    number = isinstance(index, int | float) and not isinstance(index, bool)
    if not number or not 0 <= index <= 1:
        raise ValueError(
            f"{source}: image {image['id']}: expected a crowdIndex from 0 to 1, "
            f"got {shown(index)}"
        )
    return index


def ground_truth(
    images: Sequence[dict[str, Any]], found: Annotations, category_id: int
) -> dict[str, Any]:
    """A COCO file's content as it was mended.

    People are those of the records, in the file's order. All others, and people of
    whom the file says so, have `num_keypoints` 0 or `iscrowd` 1, which tells
    pycocotools to ignore them. Those that cover nothing are left out.

    Args:
        images: By row, with `id` and, in CrowdPose, `crowdIndex`.
        found: The annotations of these rows.
        category_id: Of all annotations.
    """
    covers = found.has_box | (found.keypoints[..., 2] > 0).any(axis=-1)
    points = found.keypoints.shape[1]
    columns = zip(
        found.image[covers].tolist(),
        found.keypoints.reshape(len(covers), 3 * points)[covers].tolist(),
        (found.inside.sum(axis=-1) * found.scored)[covers].tolist(),
        found.boxes[covers].tolist(),
        found.area[covers].tolist(),
        found.crowd[covers].tolist(),
        strict=True,
    )
    annotations = [
        {
            "id": number,  # to pycocotools an id of 0 means "unmatched"
            "image_id": images[row]["id"],
            "category_id": category_id,
            "keypoints": keypoints,
            "num_keypoints": labelled,
            "bbox": box,
            "area": area,
            "iscrowd": int(crowd),
        }
        for number, (row, keypoints, labelled, box, area, crowd) in enumerate(
            columns, start=1
        )
    ]
    return {
        "images": list(images),
        "annotations": annotations,
        "categories": [{"id": category_id}],
    }

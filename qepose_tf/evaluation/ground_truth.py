"""Ground truth and detections as pycocotools' `COCO`, whatever the file left out."""

import contextlib
import io
import json
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from qepose_tf.data.coco.person_area import BOX_SHARE, estimated_area
from qepose_tf.files.locations import Location, location

logger = logging.getLogger(__name__)

_NO_AREA = f"annotations without a positive area, {BOX_SHARE:g} of the box taken"


def load_annotations(
    annotations: Location | dict[str, Any],
) -> tuple[str, dict[str, Any]]:
    """The loaded COCO JSON and its name for messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no JSON, or not COCO's.
    """
    if isinstance(annotations, dict):
        source, loaded = "annotations", annotations
    else:
        source = str(annotations)
        try:
            loaded = json.loads(location(annotations).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise FileNotFoundError(f"annotation file not found: {source}") from None
        except ValueError as error:  # JSON and UTF-8 errors are ValueErrors
            raise ValueError(f"{source}: expected JSON, got {error}") from None
    parts = ("images", "annotations", "categories")
    if not isinstance(loaded, dict) or any(
        not isinstance(loaded.get(part), list) for part in parts
    ):
        raise ValueError(f"{source}: expected COCO's lists {', '.join(parts)}")
    return source, loaded


def keypoint_category(
    loaded: dict[str, Any], category_id: int | None, num_keypoints: int, source: str
) -> int:
    """The id of the category whose keypoints count.

    Without `category_id`: the only one with keypoints, or "person" of several.

    Raises:
        ValueError: there is no such category, or it has another number of keypoints.
    """
    categories = {c["id"]: c for c in loaded["categories"] if c.get("keypoints")}
    if category_id is None:
        person = [i for i, c in categories.items() if c.get("name") == "person"]
        chosen = list(categories) if len(categories) == 1 else person
        if len(chosen) != 1:
            raise ValueError(
                f"{source}: expected one category with keypoints, "
                f"got {sorted(categories)}; name one by category_id"
            )
        category_id = chosen[0]
    if category_id not in categories:
        raise ValueError(
            f"{source}: expected a category with keypoints of id {category_id}, "
            f"got {sorted(categories)}"
        )
    count = len(categories[category_id]["keypoints"])
    if count != num_keypoints:
        raise ValueError(
            f"{source}: expected {num_keypoints} keypoints in category {category_id}, "
            f"got {count}"
        )
    return category_id


def ground_truth(
    loaded: dict[str, Any], category_id: int, num_keypoints: int, source: str
) -> COCO:
    """The annotations of a category, indexed; what had to be mended is logged."""
    mended: Counter[str] = Counter()
    images = {image.get("id"): image for image in loaded["images"]}
    mended["images listed twice"] = len(loaded["images"]) - len(images)
    people, seen = [], set()
    for annotation in loaded["annotations"]:
        image_id = annotation.get("image_id")
        if annotation.get("category_id") != category_id:
            continue
        if image_id not in images:
            mended["annotations of unknown images left out"] += 1
            continue
        # pycocotools counts an annotation listed twice as two people.
        identity = (annotation.get("id"), image_id, str(annotation.get("keypoints")))
        if identity in seen and annotation.get("id") is not None:
            mended["annotations listed twice"] += 1
            continue
        seen.add(identity)
        person = _person(annotation, num_keypoints, mended)
        if person is not None:
            # To pycocotools the id 0 means "unmatched", so ids are given anew.
            people.append({**person, "id": len(people) + 1})
    # A format that has no areas (CrowdPose) is no fault of the file.
    expected = {_NO_AREA} if not any("area" in p for p in loaded["annotations"]) else ()
    for what, count in mended.items():
        if count:
            level = logging.INFO if what in expected else logging.WARNING
            logger.log(level, "%s: %d %s", source, count, what)
    return _coco(list(images.values()), people, category_id)


def _person(
    annotation: dict[str, Any], num_keypoints: int, mended: Counter[str]
) -> dict[str, Any] | None:
    keypoints = np.zeros((num_keypoints, 3))
    given = annotation.get("keypoints") or []  # crowds may have none
    try:
        keypoints[:] = np.array(given, float).reshape(keypoints.shape)
    except (TypeError, ValueError):
        if given:
            mended["annotations whose keypoints do not fit, ignored"] += 1
    broken = ~np.isfinite(keypoints).all(axis=1)
    mended["keypoints that are no numbers, taken as not labelled"] += int(broken.sum())
    keypoints[broken] = 0
    labelled = keypoints[:, 2] > 0
    given_box = box = annotation.get("bbox")
    if box is None or len(box) != 4:
        given_box = None
        if not labelled.any():
            mended["annotations with neither box nor keypoints left out"] += 1
            return None
        low = keypoints[labelled, :2].min(axis=0)
        # Points are pixels' centres: one pixel more than their distance is covered.
        box = [*low, *(keypoints[labelled, :2].max(axis=0) - low + 1)]
    area = annotation.get("area")
    if area is None or not area > 0:
        mended[_NO_AREA] += 1  # OKS divides by it
        area = estimated_area(given_box, keypoints[labelled, :2])
    return {
        "image_id": annotation["image_id"],
        "category_id": annotation["category_id"],
        "keypoints": keypoints.reshape(-1).tolist(),
        # num_keypoints 0 tells pycocotools to ignore the person.
        "num_keypoints": min(
            annotation.get("num_keypoints", num_keypoints), int(labelled.sum())
        ),
        "bbox": list(box),
        "area": float(area),
        "iscrowd": int(annotation.get("iscrowd") or 0),
    }


def detections(
    truth: COCO,
    results: Sequence[dict[str, Any]],
    category_id: int,
    num_keypoints: int,
    source: str,
) -> COCO:
    """COCO keypoint results, indexed; an empty list is fine.

    Raises:
        ValueError: a result names an unknown image, has another number of keypoints,
            or holds NaN or infinity.
    """
    unknown = {result["image_id"] for result in results} - set(truth.imgs)
    if unknown:
        raise ValueError(
            f"{source}: expected detections on its images only, "
            f"got image ids {sorted(unknown)[:5]}"
        )
    found = []
    for result in results:
        keypoints = np.asarray(result["keypoints"], float).reshape(-1)
        if len(keypoints) != 3 * num_keypoints:
            raise ValueError(
                f"results, image {result['image_id']}: expected {3 * num_keypoints} "
                f"numbers in keypoints, got {len(keypoints)}"
            )
        if not (np.isfinite(keypoints).all() and np.isfinite(result["score"])):
            raise ValueError(
                f"results, image {result['image_id']}: expected finite keypoints and "
                "score, got NaN or infinity"
            )
        low = keypoints.reshape(-1, 3)[:, :2].min(axis=0)
        size = keypoints.reshape(-1, 3)[:, :2].max(axis=0) - low
        # What COCO.loadRes adds; that call fails where there are no results.
        found.append(
            {
                "image_id": result["image_id"],
                "category_id": result["category_id"],
                "keypoints": keypoints.tolist(),
                "score": float(result["score"]),
                "bbox": [*low, *size],
                "area": float(size[0] * size[1]),
                "id": len(found) + 1,
            }
        )
    return _coco(list(truth.imgs.values()), found, category_id)


def _coco(images: list, annotations: list, category_id: int) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": category_id}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco

"""COCO keypoint annotations: read, checked, and written back as results."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.data.coco.annotations import People, read_annotations
from qepose_tf.data.coco.ignore_regions import Region
from qepose_tf.data.coco.listing import existing_images, list_images
from qepose_tf.data.coco.problems import Problems
from qepose_tf.files.locations import Location, Url, location
from qepose_tf.images.decoding import ImageFile
from qepose_tf.skeleton import Skeleton

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageRecord:
    """One image and who is in it.

    Attributes:
        image_id: As in the annotation file.
        file: Where the image is; its text names the image in messages.
        width: In pixels.
        height: In pixels.
        keypoints: `[M, K, 3]` float32 (x, y, v); v = 0 is unlabelled.
        area: `[M]` float32, pixels squared, positive.
        boxes: `[M, 4]` float32 (x, y, width, height).
        ignore: Regions of crowds and of people without a labelled keypoint.
        everyone_labelled: False where people may stand that nobody has labelled, so
            that what looks like background is not known to be any. The file says it of
            an image by `"all_people_labelled": 0`.
    """

    image_id: int
    file: ImageFile
    width: int
    height: int
    keypoints: np.ndarray
    area: np.ndarray
    boxes: np.ndarray
    ignore: tuple[Region, ...]
    everyone_labelled: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class CocoDataset:
    """A data set as `read_coco` found it; one record per image.

    Attributes:
        path: The annotation file.
        images_dir: The folder that file names are relative to.
        skeleton: What the K keypoints are.
        records: In the file's order.
        category_id: Of the people.
        parts: Of data sets that are trained together (see `mixture`), the number of
            records and the share of the batches of each; empty for a single one.
    """

    path: Path | Url
    images_dir: Path | Url
    skeleton: Skeleton
    records: list[ImageRecord]
    category_id: int
    parts: tuple[tuple[int, float], ...] = ()


def read_coco(
    annotations: Location,
    images_dir: Location,
    skeleton: Skeleton,
    *,
    category: str | None = None,
    limit: int | None = None,
    only_labelled: bool = False,
    strict: bool = False,
    require_images: bool = True,
) -> CocoDataset:
    """Reads a COCO keypoint file.

    What can be mended or left out (see the warnings) is counted and warned about, one
    line per kind.

    Args:
        annotations: The JSON file, a path or a URL that TensorFlow reads.
        images_dir: The folder that `file_name` is relative to, a path or a URL.
        skeleton: What the category's keypoints are expected to be.
        category: Its name. None takes the only one that has keypoints.
        limit: Read only so many images, the first of the file.
        only_labelled: Leave out images without a person that has a labelled keypoint;
            of COCO's train2017 these are half, and the paper trains on the others.
        strict: Make every problem an error.
        require_images: Leave out images whose file is missing.

    Raises:
        FileNotFoundError: There is no such annotation file.
        OSError: The file cannot be read.
        ValueError: The file is not COCO's form, has another number of keypoints than
            the skeleton, or none of its images exists; with `strict` also any problem.
    """
    path, folder = location(annotations), location(images_dir)
    content = parse_coco(path, annotation_bytes(path))
    category_id = _category(path, content["categories"], category, skeleton)
    problems = Problems(str(path), strict)
    listing = content["images"]
    if only_labelled:
        labelled = labelled_images(content["annotations"], category_id)
        listing = [image for image in listing if str(image.get("id")) in labelled]
    images, row_of_id = list_images(listing, limit, problems)
    if require_images:
        images, row_of_id = existing_images(images, row_of_id, folder, problems)
    # By their text, for an id may be anything.
    listed = {str(image.get("id")) for image in content["images"]}
    kept = _of_known_images(
        content["annotations"], category_id, row_of_id, listed, problems
    )
    rows = np.array([row_of_id[a["image_id"]] for a in kept], np.int64)
    hw = np.array([(i["height"], i["width"]) for i in images], np.int64).reshape(-1, 2)
    people, regions = read_annotations(kept, rows, hw, skeleton.num_keypoints, problems)
    if not len(people.image):
        problems.add(1, "data set without any person that has a labelled keypoint")
    problems.report()
    records = _records(images, folder, people, regions)
    return CocoDataset(path, folder, skeleton, records, category_id)


def labelled_images(annotations: list[dict[str, Any]], category_id: int) -> set[str]:
    """Ids, by their text, of the images that `only_labelled` keeps.

    Args:
        annotations: Of a COCO file.
        category_id: Of the people.
    """
    return {
        str(annotation.get("image_id"))
        for annotation in annotations
        if annotation.get("category_id") == category_id
        and not annotation.get("iscrowd")
        and _is_labelled(annotation.get("keypoints"))
    }


def _is_labelled(keypoints: Any) -> bool:
    visibilities = keypoints[2::3] if isinstance(keypoints, list) else []
    return any(isinstance(v, int | float) and v > 0 for v in visibilities)


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

    Raises:
        ValueError: It is not COCO's form; names the file.
    """
    try:
        content = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
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
    return content


def _category(
    path: Path | Url,
    categories: list[dict[str, Any]],
    name: str | None,
    skeleton: Skeleton,
) -> int:
    names = [entry.get("name") for entry in categories]
    if name is None:
        chosen = [entry for entry in categories if entry.get("keypoints")]
        wanted = "one category with keypoints"
    else:
        chosen = [entry for entry in categories if entry.get("name") == name]
        wanted = f"one category {name!r}"
    if len(chosen) != 1 or not isinstance(chosen[0].get("id"), int):
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


def _of_known_images(
    annotations: list[dict[str, Any]],
    category_id: int,
    row_of_id: dict[int, int],
    listed: set[str],
    problems: Problems,
) -> list[dict[str, Any]]:
    """The category's annotations of kept images; counts those of unlisted ones."""
    kept, unknown = [], []
    for annotation in annotations:
        if annotation.get("category_id") != category_id:
            continue
        image_id = annotation.get("image_id")
        if type(image_id) is int and image_id in row_of_id:
            kept.append(annotation)
        elif str(image_id) not in listed:
            unknown.append(annotation)
    problems.add(
        len(unknown),
        "annotations of images that are not listed; left out",
        f"annotation {unknown[0].get('id')}, image {unknown[0].get('image_id')}"
        if unknown
        else None,
    )
    return kept


def _records(
    images: list[dict[str, Any]],
    images_dir: Path | Url,
    people: People,
    regions: dict[int, list[Region]],
) -> list[ImageRecord]:
    order = np.argsort(people.image, kind="stable")
    ends = np.searchsorted(people.image[order], np.arange(len(images) + 1))
    keypoints = people.keypoints[order]
    area, boxes = people.area[order], people.boxes[order]
    return [
        ImageRecord(
            image["id"],
            images_dir / image["file_name"],
            image["width"],
            image["height"],
            keypoints[ends[row] : ends[row + 1]],
            area[ends[row] : ends[row + 1]],
            boxes[ends[row] : ends[row + 1]],
            tuple(regions.get(row, ())),
            image.get("all_people_labelled") not in (0, False),
        )
        for row, image in enumerate(images)
    ]

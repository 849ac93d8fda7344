"""COCO keypoint annotations: read, checked, and written back as results."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qepose_tf.data.coco.annotations import Annotations, read_annotations
from qepose_tf.data.coco.category import chosen_category, skeleton_of
from qepose_tf.data.coco.content import annotation_bytes, parse_coco, shown
from qepose_tf.data.coco.ground_truth import crowd_index, ground_truth
from qepose_tf.data.coco.ignore_regions import Region
from qepose_tf.data.coco.listing import existing_images, list_images
from qepose_tf.data.coco.problems import Problems
from qepose_tf.data.coco.shown import plot, summary
from qepose_tf.files.locations import Location, Url, location
from qepose_tf.images.decoding import ImageFile
from qepose_tf.skeleton import Skeleton


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
        labels: The file's entries of `images` and `annotations` that are used; None
            where the records were read from elsewhere, see `ground_truth`.
        parts: Of data sets that are trained together (see `mixture`), the number of
            records and the share of the batches of each; empty for a single one.
    """

    path: Path | Url
    images_dir: Path | Url
    skeleton: Skeleton
    records: list[ImageRecord]
    category_id: int
    labels: tuple[list[dict[str, Any]], Annotations] | None = None
    parts: tuple[tuple[int, float], ...] = ()

    def __len__(self) -> int:
        """The number of images."""
        return len(self.records)

    def __repr__(self) -> str:
        people = sum(len(record.area) for record in self.records)
        return (
            f"<CocoDataset {self.path}: {len(self)} images, {people} people, "
            f"{self.skeleton.num_keypoints} keypoints ({self.skeleton.name})>"
        )

    def summary(self) -> str:
        """What is in the data set, in a few lines for a person to read."""
        return summary(self.skeleton, self.records)

    def plot(self, index: int) -> Image.Image:
        """An image with its people drawn over it.

        Args:
            index: Of the record.

        Raises:
            IndexError: There is no such record.
            OSError: The image's file cannot be read.
            ValueError: The image's file is broken.
        """
        return plot(self.skeleton, self.records[index])

    @functools.cached_property
    def ground_truth(self) -> dict[str, Any]:
        """People and ignore regions as pycocotools' evaluator takes them.

        The same people as in the records, as exact as the file and with the keypoints
        that lie outside their image. Prepared files have it in their copy of the
        annotations, which is read the first time.

        Raises:
            OSError: That file cannot be read.
            ValueError: It is a mixture of data sets, or that file is not COCO's form.
        """
        if self.parts:
            raise ValueError(f"{self.path}: expected one data set, got a mixture")
        labels = self.labels
        if labels is None:
            labels = read_coco(
                self.path, self.images_dir, self.skeleton, require_images=False
            ).labels
        return ground_truth(*labels, self.category_id)


def read_coco(
    annotations: Location,
    images_dir: Location,
    skeleton: Skeleton | str | None = None,
    *,
    category: str | None = None,
    limit: int | None = None,
    only_labelled: bool = False,
    strict: bool = False,
    require_images: bool = True,
    content: bytes | None = None,
) -> CocoDataset:
    """Reads a COCO keypoint file.

    What can be mended or left out (see the warnings) is counted and warned about, one
    line per kind.

    Args:
        annotations: The JSON file, a path or a URL that TensorFlow reads.
        images_dir: The folder that `file_name` is relative to, a path or a URL.
        skeleton: What the category's keypoints are expected to be, or what
            `Skeleton.load` takes. None takes what the file's category says.
        category: Its name. None takes the only one that has keypoints.
        limit: Read only so many images, the first of the file.
        only_labelled: Leave out images without a person that has a labelled keypoint;
            of COCO's train2017 these are half, and the paper trains on the others.
        strict: Make every problem an error.
        require_images: Leave out images whose file is missing.
        content: What is in the JSON file, where that has been read.

    Raises:
        FileNotFoundError: There is no such annotation file.
        OSError: The file cannot be read.
        ValueError: The file is not COCO's form, has another number of keypoints than
            the skeleton, or none of its images can be used; with `strict` also any
            problem.
    """
    path, folder = location(annotations), location(images_dir)
    content = annotation_bytes(path) if content is None else content
    content = parse_coco(path, content)
    if skeleton is None:
        skeleton = skeleton_of(path, content["categories"], category)
    elif isinstance(skeleton, str):
        skeleton = Skeleton.load(skeleton)
    category_id = chosen_category(path, content["categories"], category, skeleton)
    of_category = [a for a in content["annotations"] if a["category_id"] == category_id]
    problems = Problems(str(path), strict)
    listing = content["images"]
    # By their text, for an id may be anything.
    listed = {str(image.get("id")) for image in listing}
    if only_labelled:
        listing = _labelled(str(path), listing, of_category, skeleton)
    images, row_of_id = list_images(listing, limit, problems)
    if require_images:
        images, row_of_id = existing_images(images, row_of_id, folder, problems)
    kept = _of_known_images(of_category, row_of_id, listed, problems)
    found = _checked(kept, images, row_of_id, skeleton, problems)
    if not found.person.any():
        problems.add(1, "data set without any person that has a labelled keypoint")
    problems.report()
    if not images:
        wanted = "with a labelled person" if only_labelled else "that can be used"
        raise ValueError(
            f"{path}: expected an image {wanted}, got none of {len(content['images'])}"
        )
    records = _records(images, folder, found)
    return CocoDataset(path, folder, skeleton, records, category_id, (images, found))


def _checked(
    annotations: list[dict[str, Any]],
    images: list[dict[str, Any]],
    row_of_id: dict[int, int],
    skeleton: Skeleton,
    problems: Problems,
) -> Annotations:
    for image in images:
        crowd_index(image, problems.source)
    rows = np.array([row_of_id[a["image_id"]] for a in annotations], np.int64)
    hw = np.array([(i["height"], i["width"]) for i in images], np.int64).reshape(-1, 2)
    return read_annotations(annotations, rows, hw, skeleton.num_keypoints, problems)


def _labelled(
    source: str,
    listing: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    skeleton: Skeleton,
) -> list[dict[str, Any]]:
    """Entries of the images in which a person is labelled."""
    # What is mended in other images is nobody's problem, and in these is told later.
    untold = Problems(source, strict=False)
    images, row_of_id = list_images(listing, None, untold)
    kept = _of_known_images(annotations, row_of_id, set(), untold)
    found = _checked(kept, images, row_of_id, skeleton, untold)
    rows = set(found.image[found.person].tolist())
    return [
        image
        for image in listing
        if type(image.get("id")) is int and row_of_id.get(image["id"]) in rows
    ]


def _of_known_images(
    annotations: list[dict[str, Any]],
    row_of_id: dict[int, int],
    listed: set[str],
    problems: Problems,
) -> list[dict[str, Any]]:
    """The annotations of kept images, each once; counts those of unlisted ones."""
    kept, unknown, repeated = [], [], []
    seen: dict[str, list[dict[str, Any]]] = {}
    for annotation in annotations:
        image_id = annotation.get("image_id")
        if type(image_id) is int and image_id in row_of_id:
            same_id = seen.setdefault(shown(annotation.get("id")), [])
            if any(_same(annotation, other, row_of_id) for other in same_id):
                repeated.append(annotation)
                continue
            same_id.append(annotation)
            kept.append(annotation)
        elif str(image_id) not in listed:
            unknown.append(annotation)
    problems.add(
        len(unknown),
        "annotations of images that are not listed; left out",
        f"annotation {shown(unknown[0].get('id'))}, "
        f"image {shown(unknown[0].get('image_id'))}"
        if unknown
        else None,
    )
    problems.add(
        len(repeated),
        "annotations listed more than once; the first is kept",
        f"annotation {shown(repeated[0]['id'])}" if repeated else None,
    )
    return kept


def _same(
    first: dict[str, Any], second: dict[str, Any], row_of_id: dict[int, int]
) -> bool:
    """Whether two annotations of one id are one; without an id they are two."""
    if first.get("id") is None:
        return False
    one, other = (
        (row_of_id[a["image_id"]], str(a.get("keypoints")), str(a.get("bbox")))
        for a in (first, second)
    )
    return one == other


def _records(
    images: list[dict[str, Any]], images_dir: Path | Url, found: Annotations
) -> list[ImageRecord]:
    people = np.flatnonzero(found.person)
    order = people[np.argsort(found.image[people], kind="stable")]
    ends = np.searchsorted(found.image[order], np.arange(len(images) + 1))
    keypoints = np.where(found.inside[order, :, None], found.keypoints[order], 0.0)
    keypoints, area, boxes = (
        values.astype(np.float32)
        for values in (keypoints, found.area[order], found.boxes[order])
    )
    return [
        ImageRecord(
            image["id"],
            images_dir / image["file_name"],
            image["width"],
            image["height"],
            keypoints[ends[row] : ends[row + 1]],
            area[ends[row] : ends[row + 1]],
            boxes[ends[row] : ends[row + 1]],
            tuple(found.regions.get(row, ())),
            image.get("all_people_labelled") not in (0, False),
        )
        for row, image in enumerate(images)
    ]

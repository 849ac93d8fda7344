"""COCO keypoint annotations: read, checked, and written back as results."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qepose_tf.data.coco.annotations import Annotations, read_annotations
from qepose_tf.data.coco.category import category_ids, of_categories, skeleton_of
from qepose_tf.data.coco.content import annotation_bytes, parse_coco
from qepose_tf.data.coco.file_names import find_renamed
from qepose_tf.data.coco.ground_truth import crowd_index, ground_truth
from qepose_tf.data.coco.ignore_regions import Region
from qepose_tf.data.coco.kept_annotations import kept_annotations
from qepose_tf.data.coco.learnable import check_learnable
from qepose_tf.data.coco.listing import existing_images, list_images
from qepose_tf.data.coco.numbers import MAX_POSITION, Numbers, read_numbers
from qepose_tf.data.coco.pictures import usable_images
from qepose_tf.data.coco.problems import Problems
from qepose_tf.data.coco.shown import plot, summary
from qepose_tf.files.locations import Location, Url, location
from qepose_tf.images.decoding import ImageFile
from qepose_tf.skeleton import Skeleton
from qepose_tf.skeleton_checks import checked_categories


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
        exif: Whether the camera's orientation is applied when the image is read:
            "auto" decides by width and height, see `pictures.is_turned`.
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
    exif: str = "auto"


@dataclasses.dataclass(frozen=True, eq=False)
class CocoDataset:
    """A data set as `read_coco` found it; one record per image.

    Attributes:
        path: The annotation file.
        images_dir: The folder that file names are relative to.
        skeleton: What the K keypoints are.
        records: In the file's order.
        category_id: Of the people; where several categories are read as one class, the
            id of the first.
        labels: The file's entries of `images` and `annotations` that are used; None
            where the records were read from elsewhere, see `ground_truth`.
        parts: Of data sets that are trained together (see `mixture`), the number of
            records and the share of the batches of each; empty for a single one.
        categories: As in `read_coco`.
        person_size: As in `read_coco`.

    Example:
        >>> dogs.plot(0).save("first.png")  # doctest: +SKIP
    """

    path: Path | Url
    images_dir: Path | Url
    skeleton: Skeleton
    records: list[ImageRecord]
    category_id: int
    labels: tuple[list[dict[str, Any]], Annotations] | None = None
    parts: tuple[tuple[int, float], ...] = ()
    categories: Sequence[str] | None = None
    person_size: float | None = None

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

    def check_learnable(
        self, min_area: float = 0.0, setting: str = "data.min_area"
    ) -> None:
        """Looks whether there is somebody to learn from.

        Args:
            min_area: Smaller people are not learned, in pixels squared of the original
                image.
            setting: The name of `min_area` that the message tells: by default, that of
                a config.

        Raises:
            ValueError: Nobody has a labelled keypoint, or everybody is too small; names
                the setting and the areas found.
        """
        areas = np.concatenate([r.area for r in self.records] or [np.zeros(0)])
        check_learnable(str(self.path), len(self), areas, min_area, setting)

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
                self.path,
                self.images_dir,
                self.skeleton,
                categories=self.categories,
                person_size=self.person_size,
                require_images=False,
            ).labels
        if labels is None:
            raise AssertionError("read_coco always gives labels")
        images, annotations = labels
        return ground_truth(images, annotations, self.category_id)


def read_coco(
    annotations: Location,
    images_dir: Location,
    skeleton: Skeleton | str | None = None,
    *,
    categories: Sequence[str] | None = None,
    person_size: float | None = None,
    limit: int | None = None,
    only_labelled: bool = False,
    strict: bool = False,
    require_images: bool = True,
    exif: str = "auto",
    check_images: str = "header",
    content: bytes | None = None,
) -> CocoDataset:
    """Reads a COCO keypoint file.

    What can be mended or left out (see the warnings) is counted and warned about, one
    line per kind.

    Args:
        annotations: The JSON file, a path or a URL that TensorFlow reads.
        images_dir: The folder that `file_name` is relative to, a path or a URL.
        skeleton: What the categories' keypoints are expected to be, or what
            `Skeleton.load` takes. None takes what the file's category says.
        categories: Names of the categories that are read, as one class. None takes
            all that have keypoints. Their keypoints are the same.
        person_size: Side in pixels of the square that people without an area and
            without a box cover. None derives it from the keypoints or, where fewer
            than two are labelled, takes the median of the file.
        limit: Read only so many images, the first of the file.
        only_labelled: Leave out images without a person that has a labelled keypoint;
            of COCO's train2017 these are half, and the paper trains on the others.
        strict: Make every problem an error.
        require_images: Leave out images whose file is missing or cannot be used.
        exif: "auto" turns a photo by its EXIF orientation where the annotated size is
            that of the turned photo; "apply" turns all, "ignore" none.
        check_images: What is read of each local image to see whether it can be used:
            its "header", all of it ("decode"), or "none".
        content: What is in the JSON file, where that has been read.

    Raises:
        FileNotFoundError: There is no such annotation file.
        OSError: The file cannot be read.
        ValueError: The file is not COCO's form, has another number of keypoints than
            the skeleton, or none of its images can be used; something else than a
            number stands where one is expected; with `strict` also any problem.

    Example:
        >>> dogs = read_coco("dogs.json", "photos/")  # doctest: +SKIP
        >>> print(dogs.summary())  # doctest: +SKIP
    """
    path, folder = location(annotations), location(images_dir)
    if person_size is not None and not 0 < person_size <= MAX_POSITION:
        raise ValueError(f"person_size: expected a positive number, got {person_size}")
    problems = Problems(str(path), strict)
    content = annotation_bytes(path) if content is None else content
    labels = parse_coco(path, content, problems)
    names = [categories] if isinstance(categories, str) else categories
    chosen = checked_categories(labels["categories"], names, str(path))
    if skeleton is None:
        skeleton = skeleton_of(path, chosen[0])
    elif isinstance(skeleton, str):
        skeleton = Skeleton.load(skeleton, names)
    ids = category_ids(chosen, skeleton, problems)
    entries = of_categories(labels["annotations"], ids, labels["categories"], problems)
    reader = _Reader(
        entries, read_numbers(entries, skeleton.num_keypoints, problems), person_size
    )
    listing = find_renamed(labels["images"], folder, problems)
    if only_labelled:
        listing = reader.labelled(listing, str(path))
    images, row_of_id = list_images(listing, limit, problems)
    if require_images:
        images, row_of_id = existing_images(images, row_of_id, folder, problems)
        images, row_of_id = usable_images(
            images, row_of_id, folder, exif, check_images, problems
        )
    found = reader.checked(images, row_of_id, labels["images"], problems)
    if not found.person.any():
        problems.add(1, "data set without any person that has a labelled keypoint")
    problems.report()
    if not images:
        wanted = "with a labelled person" if only_labelled else "that can be used"
        raise ValueError(
            f"{path}: expected an image {wanted}, got none of {len(labels['images'])}"
        )
    records = _records(images, folder, found, exif)
    return CocoDataset(
        *(path, folder, skeleton, records, ids[0], (images, found)),
        categories=names,
        person_size=person_size,
    )


@dataclasses.dataclass(frozen=True)
class _Reader:
    """The annotations of a file, to be checked with some of its images.

    Attributes:
        entries: N annotations.
        numbers: What they say in numbers.
        person_size: As in `read_coco`.
    """

    entries: list[dict[str, Any]]
    numbers: Numbers
    person_size: float | None

    def checked(
        self,
        images: list[dict[str, Any]],
        row_of_id: dict[int, int],
        listing: list[dict[str, Any]],
        problems: Problems,
    ) -> Annotations:
        """Those of some images, see `list_images`; `listing` has all images."""
        for image in images:
            crowd_index(image, problems.source)
        kept = kept_annotations(
            self.entries, self.numbers, row_of_id, listing, problems
        )
        annotations = [self.entries[row] for row in kept]
        rows = np.array([row_of_id[a["image_id"]] for a in annotations], np.int64)
        hw = np.array([(i["height"], i["width"]) for i in images], np.int64)
        return read_annotations(
            annotations,
            self.numbers.of_rows(np.array(kept, np.int64)),
            rows,
            hw.reshape(-1, 2),
            # Of the whole file, so that a limit changes nobody's area.
            self.numbers,
            self.person_size,
            problems,
        )

    def labelled(
        self, listing: list[dict[str, Any]], source: str
    ) -> list[dict[str, Any]]:
        """Entries of the images in which a person is labelled."""
        # What is mended in other images is nobody's problem, in these it is told later.
        untold = Problems(source, strict=False)
        images, row_of_id = list_images(listing, None, untold)
        found = self.checked(images, row_of_id, listing, untold)
        rows = set(found.image[found.person].tolist())
        return [
            image
            for image in listing
            if type(image.get("id")) is int and row_of_id.get(image["id"]) in rows
        ]


def _records(
    images: list[dict[str, Any]], images_dir: Path | Url, found: Annotations, exif: str
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
            image.get("all_people_labelled") != 0,
            exif,
        )
        for row, image in enumerate(images)
    ]

"""Prepared TFRecord files as a data set like any other.

Images are read one by one from where the index says they are, so rows can be shuffled
as a whole, a run resumed at any step, and samples are those of the JSON reader.
"""

import logging
from collections.abc import Sequence

from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.data.tfrecord.index import unpack_index
from qepose_tf.data.tfrecord.manifest import (
    ANNOTATIONS,
    check_shards,
    check_skeleton,
    read_index_file,
    read_manifest,
)
from qepose_tf.data.tfrecord.stored_image import Shard
from qepose_tf.files.locations import Location, location
from qepose_tf.skeleton import Skeleton

logger = logging.getLogger(__name__)


def read_tfrecords(
    folder: Location,
    skeleton: Skeleton,
    *,
    categories: Sequence[str] | None = None,
    person_size: float | None = None,
    limit: int | None = None,
    only_labelled: bool = False,
    strict: bool = False,
    exif: str = "auto",
) -> CocoDataset:
    """Reads what `qepose prepare` wrote; no image is read yet.

    Every image is checked when it is read: its record's length and checksum.

    Args:
        folder: A path, or a URL that TensorFlow reads.
        skeleton: The keypoints that are expected.
        categories: Those with which the folder is expected to have been prepared, see
            `read_coco`; None takes what was prepared.
        person_size: As `categories`.
        limit: Keep only so many images, the first.
        only_labelled: As in `read_coco`; the limit counts what remains.
        strict: Make images that were left out in preparation an error.
        exif: As in `read_coco`; "auto" does as the preparation did.

    Returns:
        The data set as `read_coco` reads it from the same annotations and options; its
        `path` is the folder's copy of the annotations, its files are `StoredImage`s.

    Raises:
        OSError: The folder is not finished, a file is missing or cannot be read.
        ValueError: The folder is of another skeleton or version, was prepared with
            other categories or another `person_size`, or is damaged.
    """
    folder = location(folder)
    manifest = read_manifest(folder)
    check_skeleton(folder, manifest, skeleton)
    wanted = {"categories": categories and list(categories), "person_size": person_size}
    for key, value in wanted.items():
        prepared = manifest.get(key)
        if value is not None and value != prepared:
            raise ValueError(
                f"{folder}: prepared with {key} {prepared}, expected {value}; "
                "prepare the data again"
            )
    check_shards(folder, manifest)
    skipped = manifest["skipped"]
    if skipped:
        line = (
            f"{folder}: {len(skipped)} images were left out when it was prepared "
            f"(first: {skipped[0]['file_name']}, {skipped[0]['reason']})"
        )
        if strict:
            raise ValueError(line)
        logger.warning("%s", line)
    shards = [Shard(folder / shard["name"]) for shard in manifest["shards"]]
    if exif == "auto":
        exif = manifest.get("exif") or exif
    content = read_index_file(folder, manifest)
    records = unpack_index(content, shards, only_labelled, limit, exif)
    path = folder / ANNOTATIONS
    return CocoDataset(
        *(path, folder, skeleton, records, manifest["category_id"]),
        categories=manifest.get("categories"),
        person_size=manifest.get("person_size"),
    )

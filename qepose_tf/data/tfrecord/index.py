"""The index of a TFRecord data set: every record's facts and place, but no image.

Reading it takes seconds where reading the records would take all of the images.
"""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from qepose_tf.data.coco.dataset import ImageRecord
from qepose_tf.data.coco.ignore_regions import encoded
from qepose_tf.data.tfrecord.stored_image import Shard, StoredImage

EVERYONE = "everyone_labelled"  # the column of the records' field


class Place(NamedTuple):
    """Where an image is stored, see `StoredImage`.

    Attributes:
        shard: Number of the shard, from 0.
        number: Of the record in the shard.
        offset: In bytes.
        length: In bytes.
        crc32: Of the whole record.
    """

    shard: int
    number: int
    offset: int
    length: int
    crc32: int


def pack_index(
    records: Sequence[ImageRecord],
    names: Sequence[str],
    labelled: Sequence[bool],
    places: Sequence[Place],
) -> bytes:
    """Writes I records as arrays, equal bytes for equal records.

    Args:
        records: I records; where their files are is not kept.
        names: I file names.
        labelled: Of I images, whether `only_labelled` keeps them.
        places: I places.

    Returns:
        The content of an .npz file without pickled objects.
    """
    codes = [encoded(r.ignore, r.height, r.width) for r in records]
    texts = [name.encode() for name in names]
    counts = [code["counts"] for of_image in codes for code in of_image]
    columns = np.array(places, np.int64).reshape(-1, len(Place._fields)).T
    arrays: dict[str, Any] = dict(zip(Place._fields, columns, strict=True))
    for field in ("image_id", "width", "height"):
        arrays[field] = np.array([getattr(r, field) for r in records], np.int64)
    arrays |= {
        "labelled": np.array(labelled, bool),
        EVERYONE: np.array([r.everyone_labelled for r in records], bool),
        "names": _joined(texts),
        "name_bounds": _bounds(texts),
        "people_bounds": _bounds([record.area for record in records]),
        "region_bounds": _bounds(codes),
        "counts": _joined(counts),
        "counts_bounds": _bounds(counts),
    }
    for field in ("keypoints", "area", "boxes"):
        arrays[field] = np.concatenate([getattr(r, field) for r in records])
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def unpack_index(
    content: bytes,
    shards: Sequence[Shard],
    only_labelled: bool,
    limit: int | None,
    exif: str = "auto",
) -> list[ImageRecord]:
    """Reads records back.

    Args:
        content: From `pack_index`.
        shards: By number.
        only_labelled: Leave out images without a person that has a labelled keypoint.
        limit: Keep only so many of the others, the first.
        exif: Of the records.

    Returns:
        The records as they were; regions are compressed RLEs, files `StoredImage`s.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
    rows = np.arange(len(arrays["image_id"]))
    # Folders that were prepared before images could say it have no such column.
    everyone = arrays.get(EVERYONE, np.ones(len(rows), bool)).tolist()
    rows = rows[arrays["labelled"]] if only_labelled else rows
    names = _pieces(arrays["names"], arrays["name_bounds"])
    counts = _pieces(arrays["counts"], arrays["counts_bounds"])
    # Numbers of Python are read many times faster than those of an array.
    people = arrays["people_bounds"].tolist()
    regions = arrays["region_bounds"].tolist()
    whole = ("image_id", "width", "height", *Place._fields)
    columns = {field: arrays[field].tolist() for field in whole}
    records = []
    for row in rows[:limit].tolist():
        image_id, width, height, shard, number, *place = (
            columns[field][row] for field in whole
        )
        name = names[row].decode()
        persons = slice(people[row], people[row + 1])
        ignore = counts[regions[row] : regions[row + 1]]
        records.append(
            ImageRecord(
                image_id,
                StoredImage(shards[shard], number, image_id, name, *place),
                width,
                height,
                arrays["keypoints"][persons],
                arrays["area"][persons],
                arrays["boxes"][persons],
                tuple({"size": [height, width], "counts": code} for code in ignore),
                everyone[row],
                exif,
            )
        )
    return records


def _joined(pieces: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(pieces), np.uint8)


def _bounds(pieces: Sequence) -> np.ndarray:
    """Piece i is `[bounds[i], bounds[i + 1])` of all in a row."""
    return np.cumsum([0, *map(len, pieces)], dtype=np.int64)


def _pieces(joined: np.ndarray, bounds: np.ndarray) -> list[bytes]:
    content, ends = joined.tobytes(), bounds.tolist()
    return [content[a:b] for a, b in zip(ends, ends[1:], strict=False)]

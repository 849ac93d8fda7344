"""One TFRecord file of images and their labels, written and read back."""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from PIL import Image

from qepose_tf.data.coco.dataset import ImageRecord
from qepose_tf.data.coco.ignore_regions import encoded
from qepose_tf.data.coco.pictures import decode_record_image
from qepose_tf.data.tfrecord.stored_image import FRAME_HEAD, FRAME_TAIL
from qepose_tf.images.decoding import read_content


def write_shard(
    path: Path,
    records: Sequence[ImageRecord],
    names: Sequence[str],
    labelled: Sequence[bool],
    on_image: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Writes a TFRecord file and checks what arrived in it.

    Images that are missing, cannot be decoded or have another size than annotated are
    left out. The keys of a record are those of `tfrecord_lib`, and "image/labelled"
    (1 where `only_labelled` keeps the image), "image/everyone_labelled" (0 where people
    may stand that nobody has labelled), "image/object/keypoints" (x, y, v of
    each person's K keypoints), "image/object/area", "image/object/bbox" (x, y, width,
    height), all in pixels, and "image/ignore/counts", compressed RLEs.

    Args:
        path: Of the file, which is replaced.
        records: Of the images.
        names: Of their files.
        labelled: Of each image, whether it shows a person with a labelled keypoint.
        on_image: Called after each image; it may raise to stop.

    Returns:
        What JSON can hold: "bytes" and "sha256" of the file; of each record it holds
        "rows" (its number in `records`), "lengths" and "crc32", frames included;
        "skipped", a list of "row", "image_id", "file_name" and "reason".

    Raises:
        OSError: An image that is there cannot be read, or the file not be written.
    """
    rows, checks, lengths, skipped = [], [], [], []
    try:
        with tf.io.TFRecordWriter(str(path)) as opened:
            writer: Any = opened  # to type checkers an object without methods
            for row, record in enumerate(records):
                try:
                    content = read_content(record.file)
                    decode_record_image(record, content)
                except (FileNotFoundError, ValueError) as error:
                    reason = str(error).removeprefix(f"{record.file}: ")
                    entry = {"row": row, "image_id": record.image_id}
                    skipped.append(entry | {"file_name": names[row], "reason": reason})
                else:
                    payload = _example(record, names[row], labelled[row], content)
                    writer.write(payload)
                    rows.append(row)
                    checks.append(zlib.crc32(payload))
                    lengths.append(FRAME_HEAD + len(payload) + FRAME_TAIL)
                on_image()
    except tf.errors.OpError as error:
        reason = str(error.message).splitlines()[0]
        raise OSError(f"{path}: cannot write the shard, {reason}") from None
    found = _read_back(path, lengths, checks)
    return found | {"rows": rows, "lengths": lengths, "skipped": skipped}


def _example(record: ImageRecord, name: str, labelled: bool, content: bytes) -> bytes:
    # Imported late: it takes seconds, and only writing needs it.
    from official.vision.data import tfrecord_lib

    with Image.open(io.BytesIO(content)) as image:
        form = (image.format or "").lower()
    feature = tfrecord_lib.image_info_to_feature_dict(
        record.height, record.width, name, record.image_id, content, form
    )
    convert = tfrecord_lib.convert_to_feature
    codes = encoded(record.ignore, record.height, record.width)
    feature |= {
        "image/labelled": convert(int(labelled)),
        "image/everyone_labelled": convert(int(record.everyone_labelled)),
        "image/object/keypoints": convert(record.keypoints, "float_list"),
        "image/object/area": convert(record.area, "float_list"),
        "image/object/bbox": convert(record.boxes, "float_list"),
        "image/ignore/counts": convert(
            [code["counts"] for code in codes], "bytes_list"
        ),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # A map has no order of its own: two runs must write equal bytes.
    return example.SerializeToString(deterministic=True)


def _read_back(path: Path, lengths: list[int], checks: list[int]) -> dict[str, Any]:
    """Size, digest and each record's checksum, of what is in the file."""
    digest, crc32 = hashlib.sha256(), []
    with path.open("rb") as file:
        for length, check in zip(lengths, checks, strict=True):
            record = memoryview(file.read(length))
            payload = record[FRAME_HEAD:-FRAME_TAIL]
            size = struct.pack("<Q", len(payload))
            if (
                len(record) != length
                or record[:8] != size
                or zlib.crc32(payload) != check
            ):
                raise OSError(f"{path}: holds other bytes than were written")
            digest.update(record)
            crc32.append(zlib.crc32(record))
        if file.read(1):
            raise OSError(f"{path}: holds more bytes than were written")
    return {"bytes": sum(lengths), "sha256": digest.hexdigest(), "crc32": crc32}

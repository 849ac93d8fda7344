"""Images inside TFRecord files, each read from the place that the index names."""

import dataclasses
import os
import threading
import weakref
import zlib
from pathlib import Path
from typing import Any

import tensorflow as tf

from qepose_tf.files.locations import Url

# Around a record's content stand its length (8 bytes) and two checksums (4 each).
FRAME_HEAD = 12
FRAME_TAIL = 4
ENCODED = "image/encoded"


class Shard:
    """A TFRecord file that several threads read anywhere at once.

    It is opened by the first read.

    Args:
        path: Of the file.

    Attributes:
        path: Of the file.
    """

    def __init__(self, path: Path | Url) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._idle: list[Any] = []  # opened remote files that nobody reads just now

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file; fewer where it ends.

        Raises:
            OSError: The file is missing or cannot be read.
        """
        if isinstance(self.path, Url):
            return self._read_remote(self.path, offset, length)
        with self._lock:
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDONLY)
                weakref.finalize(self, os.close, self._descriptor)
        return os.pread(self._descriptor, length, offset)

    def _read_remote(self, url: Url, offset: int, length: int) -> bytes:
        # A file has one position, so each is read by one thread at a time. TensorFlow's
        # threads keep nothing of their own between two calls of Python.
        try:
            file = self._idle.pop()
        except IndexError:
            file = url.open()
        content = url.read_at(file, offset, length)
        self._idle.append(file)
        return content


@dataclasses.dataclass(frozen=True, slots=True)
class StoredImage:
    """One image of a shard, an `ImageFile`.

    Attributes:
        shard: Which holds it.
        number: Of its record in the shard, from 0.
        image_id: As in the annotation file.
        name: Of its file, as in the annotation file.
        offset: Of its record in the shard, in bytes.
        length: Of the whole record, frame included, in bytes.
        crc32: `zlib.crc32` of the whole record.
    """

    shard: Shard
    number: int
    image_id: int
    name: str
    offset: int
    length: int
    crc32: int

    def __str__(self) -> str:
        return f"{self.shard.path}: record {self.number} (image {self.image_id})"

    def read_bytes(self) -> bytes:
        """The encoded image as the original file held it.

        Raises:
            OSError: The shard is missing or cannot be read.
            ValueError: The shard is truncated, or these bytes of it have changed.
        """
        record = self.shard.read(self.offset, self.length)
        if len(record) != self.length:
            raise ValueError(
                f"{self}: expected {self.length} bytes, got {len(record)}, "
                "the shard is truncated"
            )
        if zlib.crc32(record) != self.crc32:
            raise ValueError(f"{self}: checksum differs, the shard is damaged")
        example = tf.train.Example.FromString(record[FRAME_HEAD:-FRAME_TAIL])
        return example.features.feature[ENCODED].bytes_list.value[0]

    def identity(self) -> tuple[str | int, ...]:
        """Where the image is, and what changes when the image does."""
        return str(self.shard.path), self.offset, self.length, self.crc32

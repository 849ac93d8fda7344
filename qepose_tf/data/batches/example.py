"""One image and its facts, read, made small enough, and kept for the next epoch."""

import hashlib
import logging
import math
import os
import threading
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from qepose_tf.data.coco.dataset import CocoDataset, ImageRecord
from qepose_tf.data.coco.ignore_regions import rasterise
from qepose_tf.data.coco.pictures import read_record_image
from qepose_tf.files.locations import Url
from qepose_tf.files.whole_files import whole
from qepose_tf.images.decoding import (
    IdentifiedFile,
    ImageFile,
    resize_image,
)
from qepose_tf.ops.geometry import STRIDE, resize_matrix

logger = logging.getLogger(__name__)

Cache = str | Path

_PILLOW_BLOCKS = 2 * (os.cpu_count() or 1)  # of up to 16 MiB


class Example(NamedTuple):
    """One image with its M people, in pixels of the image as it is here.

    Attributes:
        image: `[H, W, 3]` uint8.
        ignore: `[ceil(H/4), ceil(W/4)]` uint8, 1 = ignored.
        keypoints: `[M, K, 3]` float32 (x, y, v).
        area: `[M]` float32.
        original_area: `[M]` float32, before the image was made smaller.
        everyone_labelled: Whether what looks like background is known to be it.
    """

    image: np.ndarray
    ignore: np.ndarray
    keypoints: np.ndarray
    area: np.ndarray
    original_area: np.ndarray
    everyone_labelled: bool = True


class ExampleLoader:
    """Loads examples by row, in any order and from several threads.

    An image that cannot be read is replaced by the next one of the data set, so that
    an epoch keeps its length; each is warned about once.

    Args:
        coco: The data set.
        max_short_side: Larger images are shrunk to it, antialiased.
        cache: "memory" keeps decoded images; a folder keeps them there for later runs
            too; "none" decodes again each epoch.
        strict: Make an unreadable image an error.

    Raises:
        ValueError: `cache` is something else.
        OSError: The cache's folder cannot be written.
    """

    def __init__(
        self,
        coco: CocoDataset,
        max_short_side: int,
        cache: Cache = "none",
        strict: bool = False,
    ) -> None:
        self._records = coco.records
        self._max_short_side = max_short_side
        self._strict = strict
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] | None = None
        self._folder: Path | None = None
        self._broken: set[int] = set()
        self._lock = threading.Lock()
        # Pillow gives its memory back after each picture otherwise, and the system
        # takes as long to clear new one as a fifth of the decoding.
        Image.core.set_blocks_max(max(Image.core.get_blocks_max(), _PILLOW_BLOCKS))
        if cache == "memory":
            self._kept = {}
            self._log_size()
        elif isinstance(cache, Path):
            self._folder = _writable_folder(cache)
        elif cache != "none":
            raise ValueError(
                f"cache: expected 'memory', 'none' or a Path, got {cache!r}"
            )

    def __call__(self, row: int) -> Example:
        """Loads the example of a row, or of the next row that can be read.

        Raises:
            OSError: Strict, and the file cannot be read.
            ValueError: Strict, and the file is broken; or no image can be read.
        """
        for step in range(len(self._records)):
            candidate = (int(row) + step) % len(self._records)
            if candidate in self._broken:
                continue
            try:
                return self._example(candidate)
            except (OSError, ValueError) as error:
                if self._strict:
                    raise
                self._skip(candidate, error)
        raise ValueError(f"none of the {len(self._records)} images can be read")

    def _skip(self, row: int, error: Exception) -> None:
        with self._lock:
            if row in self._broken:
                return
            self._broken.add(row)
        logger.warning("%s; another image takes its place", error)

    def _example(self, row: int) -> Example:
        record = self._records[row]
        if self._kept is not None:
            if row not in self._kept:
                self._kept[row] = self._decode(record)
            image, ignore = self._kept[row]
        elif self._folder is not None:
            image, ignore = self._from_folder(record, self._folder)
        else:
            image, ignore = self._decode(record)
        moved = resize_matrix((record.height, record.width), image.shape[:2])
        keypoints = record.keypoints.copy()
        keypoints[..., :2] = keypoints[..., :2] @ moved[:2, :2].T + moved[:2, 2]
        area = record.area * np.float32(moved[0, 0] * moved[1, 1])
        return Example(
            image, ignore, keypoints, area, record.area, record.everyone_labelled
        )

    def _decode(self, record: ImageRecord) -> tuple[np.ndarray, np.ndarray]:
        image = read_record_image(record)
        height, width = image.shape[:2]
        shrink = self._max_short_side / min(height, width)
        if shrink < 1:
            sides = (max(1, round(side * shrink)) for side in (height, width))
            image = resize_image(image, *sides)
        mask_hw = math.ceil(image.shape[0] / STRIDE), math.ceil(image.shape[1] / STRIDE)
        return image, rasterise(list(record.ignore), (height, width), mask_hw)

    def _from_folder(
        self, record: ImageRecord, folder: Path
    ) -> tuple[np.ndarray, np.ndarray]:
        seen = record.width, record.height, record.exif, record.ignore
        origin = (*_identity(record.file), self._max_short_side, *seen)
        name = hashlib.sha256(repr(origin).encode()).hexdigest()[:32]
        path = folder / f"{name}.npz"
        try:
            with np.load(path) as arrays:
                return arrays["image"], arrays["ignore"]
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("%s: broken cache file, made again (%s)", path, error)
        image, ignore = self._decode(record)
        with whole(path) as temporary:
            np.savez(temporary, image=image, ignore=ignore)
        return image, ignore

    def _log_size(self) -> None:
        total = 0.0
        for record in self._records:
            shrink = min(1.0, self._max_short_side / min(record.height, record.width))
            total += 3 * record.height * record.width * shrink**2
        logger.info(
            "%d decoded images will take %.2f GiB of memory",
            *(len(self._records), total / 2**30),
        )


def _identity(file: ImageFile) -> tuple[str | int, ...]:
    """Where an image is, and what changes when the image does."""
    if isinstance(file, IdentifiedFile):
        return file.identity()
    assert isinstance(file, Path | Url)
    stat = file.stat()
    return str(file.resolve()), stat.st_mtime_ns, stat.st_size


def _writable_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
        raise OSError(f"{folder}: cannot make the cache folder, {reason}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: cannot write to the cache folder")
    return folder

"""Writes a COCO data set as TFRecord files, and goes on where it was stopped.

A shard gets its name when all of it is on the disk, and the manifest is written when
all shards have their names. So a folder with a manifest is complete.
"""

import dataclasses
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from qepose_tf.data.coco.content import annotation_bytes
from qepose_tf.data.coco.dataset import CocoDataset, read_coco
from qepose_tf.data.coco.file_names import files_exist
from qepose_tf.data.tfrecord.index import Place, pack_index
from qepose_tf.data.tfrecord.manifest import (
    FORMAT,
    INDEX,
    VERSION,
    check_shards,
    file_facts,
    shard_name,
)
from qepose_tf.data.tfrecord.shard import write_shard
from qepose_tf.data.tfrecord.unfinished_folder import UnfinishedFolder
from qepose_tf.files.locations import Location, Url, location
from qepose_tf.files.whole_files import writable_folder
from qepose_tf.skeleton import Skeleton

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
_NAMED = 10  # of the images that are left out; the manifest names all


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The result of `prepare`.

    Attributes:
        manifest: The content of the folder's manifest.
        reused: The number of shards that were there already.
    """

    manifest: dict[str, Any]
    reused: int


@dataclasses.dataclass(frozen=True)
class _Source:
    """A data set to be written: its records, their files' names, who is labelled."""

    coco: CocoDataset
    names: list[str]
    labelled: list[bool]


def prepare(
    annotations: Location,
    images_dir: Location,
    out: Location,
    skeleton: Skeleton,
    num_shards: int,
    *,
    categories: Sequence[str] | None = None,
    person_size: float | None = None,
    only_labelled: bool = False,
    limit: int | None = None,
    exif: str = "auto",
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
) -> Prepared:
    """Writes a COCO data set as TFRecord files that `read_tfrecords` reads.

    Called again after it was stopped, it goes on after the shards that are finished;
    of a finished folder it writes nothing. Images that are missing, cannot be decoded
    or are not as large as annotated are left out; warnings and the manifest say which.

    Args:
        annotations: The JSON file, a path or a URL.
        images_dir: The folder that file names are relative to, a path or a URL.
        out: A local folder, new or begun by an earlier call.
        skeleton: The keypoints that are expected.
        num_shards: Number of files; each holds images that follow each other.
        categories: See `read_coco`.
        person_size: See `read_coco`.
        only_labelled: See `read_coco`.
        limit: See `read_coco`.
        exif: See `read_coco`; `read_tfrecords` reads the images the same way.
        workers: Threads, each writes a shard at a time; by default one per CPU.
        overwrite: Whether what an earlier call wrote is written anew.
        progress: Called with (images done, images in all) after each image.

    Raises:
        OSError: A file cannot be read or written, or another process is at it.
        ValueError: The annotations are not what they should be; `out` is a URL, holds
            something else, or was begun with other arguments or annotations.
    """
    path, target = location(annotations), location(out)
    if isinstance(target, Url):
        raise ValueError(
            f"{target}: expected a local folder; it can be copied when it is finished"
        )
    content = annotation_bytes(path)
    asked = {
        "format": FORMAT,
        "version": VERSION,
        "annotations_sha256": hashlib.sha256(content).hexdigest(),
        "images": str(images_dir),
        "skeleton": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "categories": None if categories is None else list(categories),
        "person_size": person_size,
        "only_labelled": only_labelled,
        "limit": limit,
        # Folders that were begun before there was a choice say nothing.
        "exif": None if exif == "auto" else exif,
        "num_shards": num_shards,
    }
    folder = UnfinishedFolder(writable_folder(target))
    begun = folder.begun()
    if begun is not None and not overwrite:
        folder.refuse_others(begun, asked)
        if "shards" in begun:
            check_shards(folder.path, begun)
            folder.tidy()
            return Prepared(begun, num_shards)
    source = _source(path, content, location(images_dir), skeleton, asked)
    with folder.claimed():
        folder.begin(asked, content, overwrite)
        shards, reused = _write_shards(folder, source, num_shards, workers, progress)
        manifest = asked | _finished(folder, source, shards)
        folder.finish(manifest)
    return Prepared(manifest, reused)


def _source(
    path: Path | Url,
    content: bytes,
    images_dir: Path | Url,
    skeleton: Skeleton,
    asked: dict[str, Any],
) -> _Source:
    coco = read_coco(
        path,
        images_dir,
        skeleton,
        categories=asked["categories"],
        person_size=asked["person_size"],
        limit=asked["limit"],
        only_labelled=asked["only_labelled"],
        require_images=False,
        exif=asked["exif"] or "auto",
        content=content,
    )
    records = coco.records
    names = [str(r.file).removeprefix(f"{images_dir}/") for r in records]
    if not 1 <= asked["num_shards"] <= len(records):
        raise ValueError(
            f"{path}: expected from 1 shard to as many as the {len(records)} images, "
            f"got {asked['num_shards']}"
        )
    if not any(files_exist(images_dir, names)):
        raise ValueError(
            f"{path}: none of the {len(records)} images is in {images_dir} "
            f"(first: {names[0]})"
        )
    return _Source(coco, names, [len(record.area) > 0 for record in records])


def _spans(images: int, num_shards: int) -> list[slice]:
    """Rows of each shard, as equal in number as can be."""
    edges = [images * number // num_shards for number in range(num_shards + 1)]
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]


def _write_shards(
    folder: UnfinishedFolder,
    source: _Source,
    num_shards: int,
    workers: int | None,
    progress: Progress,
) -> tuple[list[dict[str, Any]], int]:
    """Facts of every shard, and how many were finished before."""
    spans = _spans(len(source.names), num_shards)
    names = [shard_name(number, num_shards) for number in range(num_shards)]
    found = [folder.finished_shard(name) for name in names]
    facts = {n: known for n, known in enumerate(found) if known is not None}
    missing = [number for number in range(num_shards) if number not in facts]
    done = sum(len(source.names[spans[number]]) for number in facts)
    counter = _Counter(done, len(source.names), progress)

    def write(number: int) -> None:
        name, span = names[number], spans[number]
        written = write_shard(
            folder.temporary(name),
            source.coco.records[span],
            source.names[span],
            source.labelled[span],
            counter.count,
        )
        facts[number] = written
        folder.finish_shard(name, written)

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        futures = [pool.submit(write, number) for number in missing]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            counter.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [facts[number] for number in range(num_shards)], num_shards - len(missing)


class _Counter:
    """Counts images of several threads, and stops them."""

    def __init__(self, done: int, total: int, progress: Progress) -> None:
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._done, self._total, self._progress = done, total, progress
        progress(done, total)

    def count(self) -> None:
        if self.stopped.is_set():
            raise CancelledError
        with self._lock:
            self._done += 1
            self._progress(self._done, self._total)


def _finished(
    folder: UnfinishedFolder, source: _Source, shards: list[dict[str, Any]]
) -> dict[str, Any]:
    """Writes the index; returns what the manifest says beyond what was asked for."""
    rows, places = _places(_spans(len(source.names), len(shards)), shards)
    skipped = _skipped(source, shards)
    if not rows:
        raise ValueError(
            f"{source.coco.path}: none of the {len(skipped)} images can be read "
            f"(first: {skipped[0]['file_name']}, {skipped[0]['reason']})"
        )
    records = [source.coco.records[row] for row in rows]
    names = [source.names[row] for row in rows]
    labelled = [source.labelled[row] for row in rows]
    index = pack_index(records, names, labelled, places)
    folder.write(INDEX, index)
    counts = {
        "images": len(records),
        "people": sum(len(record.area) for record in records),
        "shards": len(shards),
        "skipped": len(skipped),
    }
    files = [
        {
            "name": shard_name(number, len(shards)),
            "records": len(facts["rows"]),
            "bytes": facts["bytes"],
            "sha256": facts["sha256"],
        }
        for number, facts in enumerate(shards)
    ]
    return {
        "category_id": source.coco.category_id,
        "counts": counts,
        "index": file_facts(INDEX, index),
        "shards": files,
        "skipped": skipped,
    }


def _places(
    spans: list[slice], shards: list[dict[str, Any]]
) -> tuple[list[int], list[Place]]:
    """The rows that were written, and where each stands."""
    rows, places = [], []
    for shard, (span, facts) in enumerate(zip(spans, shards, strict=True)):
        rows += [span.start + row for row in facts["rows"]]
        offset = 0
        checked = zip(facts["lengths"], facts["crc32"], strict=True)
        for number, (length, crc32) in enumerate(checked):
            places.append(Place(shard, number, offset, length, crc32))
            offset += length
    return rows, places


def _skipped(source: _Source, shards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The images that are left out; warns of them."""
    keys = ("image_id", "file_name", "reason")
    skipped = [{key: s[key] for key in keys} for f in shards for s in f["skipped"]]
    for entry in skipped[:_NAMED]:
        file = source.coco.images_dir / entry["file_name"]
        logger.warning("%s: %s; left out", file, entry["reason"])
    if len(skipped) > _NAMED:
        logger.warning("%d images are left out; the manifest names all", len(skipped))
    return skipped

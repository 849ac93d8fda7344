"""The manifest of a folder of TFRecord data, and checks that the folder is complete."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from qepose_tf.files.locations import Url
from qepose_tf.skeleton import Skeleton

FORMAT = "qepose TFRecord data"
VERSION = 1  # raise it when a folder of before can no longer be read
MANIFEST = "manifest.json"
INDEX = "index.npz"
ANNOTATIONS = "annotations.json"
_ASKED_AT_ONCE = 16  # a remote file system answers slowly


def shard_name(number: int, count: int) -> str:
    """The file name of a shard, numbered from 0."""
    return f"images-{number:05d}-of-{count:05d}.tfrecord"


def file_facts(name: str, content: bytes) -> dict[str, Any]:
    """What a manifest says of a file."""
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "bytes": len(content), "sha256": digest}


def read_manifest(folder: Path | Url) -> dict[str, Any]:
    """The manifest of a finished folder.

    Raises:
        OSError: There is no manifest, or it cannot be read.
        ValueError: The file was not written by `qepose prepare`, or by another version.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder}: expected a folder that 'qepose prepare' has finished, "
            f"there is no {MANIFEST}"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{path}: expected what 'qepose prepare' writes")
    if manifest.get("version") != VERSION:
        raise ValueError(
            f"{path}: expected version {VERSION}, got {manifest.get('version')!r}; "
            "prepare the data again"
        )
    names = [shard.get("name") for shard in manifest["shards"]]
    expected = [shard_name(number, len(names)) for number in range(len(names))]
    if names != expected:
        raise ValueError(f"{path}: expected shards {expected[:1]}..., got {names[:3]}")
    return manifest


def check_skeleton(
    folder: Path | Url, manifest: dict[str, Any], skeleton: Skeleton
) -> None:
    """Raises `ValueError` where other keypoints were prepared than these."""
    stored = manifest["keypoints"]
    if stored == list(skeleton.keypoints):
        return
    source = f"{folder}: prepared for skeleton {manifest['skeleton']!r}"
    if len(stored) != skeleton.num_keypoints:
        raise ValueError(
            f"{source} of {len(stored)} keypoints, expected {skeleton.name!r} "
            f"of {skeleton.num_keypoints}"
        )
    pairs = zip(stored, skeleton.keypoints, strict=True)
    theirs, ours = next(pair for pair in pairs if pair[0] != pair[1])
    raise ValueError(
        f"{source}, expected {skeleton.name!r}: keypoint {theirs!r} stands "
        f"where {ours!r} is expected"
    )


def check_shards(folder: Path | Url, manifest: dict[str, Any]) -> None:
    """Checks that every shard is there and has the size that the manifest names.

    Raises:
        OSError: A shard is missing.
        ValueError: A shard has another size; names it.
    """
    shards = manifest["shards"]
    paths = [folder / shard["name"] for shard in shards]
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        sizes = list(pool.map(_size, paths))
    missing = [path for path, size in zip(paths, sizes, strict=True) if size is None]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]}: no such shard ({len(missing)} of {len(shards)} are missing)"
        )
    for path, size, shard in zip(paths, sizes, shards, strict=True):
        if size != shard["bytes"]:
            what = "truncated" if size < shard["bytes"] else "another file"
            raise ValueError(
                f"{path}: expected {shard['bytes']} bytes, got {size}, "
                f"the shard is {what}"
            )


def read_index_file(folder: Path | Url, manifest: dict[str, Any]) -> bytes:
    """The bytes of the index, checked against the manifest.

    Raises:
        OSError: The index is missing or cannot be read.
        ValueError: The index has changed since it was written.
    """
    path = folder / INDEX
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such index") from None
    if file_facts(INDEX, content) != manifest["index"]:
        raise ValueError(f"{path}: checksum differs, the index is damaged")
    return content


def _size(path: Path | Url) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None

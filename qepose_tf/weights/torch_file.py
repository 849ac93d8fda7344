"""Reads the two file formats of `torch.save`: zip archives and, before 1.6, pickles.

Both hold a pickle that names tensors and, apart from it, the numbers of the tensors.
"""

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qepose_tf.weights.state_pickle import (
    DAMAGED,
    LARGEST_PICKLE,
    Storage,
    TensorView,
    read_pickle,
)

ZIP = b"PK\x03\x04"
PICKLE = b"\x80"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
# The errors of zipfile for damaged archives.
DAMAGED_ZIP = (zipfile.BadZipFile, EOFError, LookupError, RuntimeError, zlib.error)


@dataclass(frozen=True)
class TorchFile:
    """The content of a file.

    Attributes:
        content: The unpickled object, with `TensorView` in place of tensors.
        numbers: A function from a storage to its numbers, `[count]`.
    """

    content: Any
    numbers: Callable[[Storage], np.ndarray]

    def tensor(self, view: TensorView) -> np.ndarray:
        """Returns a tensor of the file."""
        return view.of(self.numbers(view.storage))


def read_torch_file(data: bytes) -> TorchFile:
    """Reads a file that `torch.save` wrote.

    Args:
        data: The bytes of the file.

    Raises:
        ValueError: The file is of another kind or damaged, or its pickle is refused.
    """
    if data.startswith(ZIP):
        try:
            return _read_zip(data)
        except DAMAGED_ZIP as error:
            raise ValueError(f"it is damaged or cut short: {error}") from None
    return _read_legacy(data)


def _read_zip(data: bytes) -> TorchFile:
    archive = zipfile.ZipFile(io.BytesIO(data))
    names = archive.namelist()
    pickles = [name for name in names if name.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        raise ValueError("it is a zip archive, but not one that torch.save wrote")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in names:
        order = _stored(archive, f"{folder}byteorder", len(data))
        if order != b"little":
            raise ValueError("it was written on a big-endian machine")
    pickled = _stored(archive, pickles[0], len(data))
    content, storages = read_pickle(io.BytesIO(pickled[:LARGEST_PICKLE]))
    entries = {key: f"{folder}data/{key}" for key in storages}
    # This is checked before reading, for overlapping entries may have any total size.
    if sum(archive.getinfo(name).file_size for name in entries.values()) > len(data):
        raise ValueError("its entries overlap")
    raw = {key: _stored(archive, name, len(data)) for key, name in entries.items()}
    return TorchFile(content, lambda storage: _as_numbers(raw[storage.key], storage))


def _stored(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Returns the bytes of an entry, and refuses compressed ones, which may be huge."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > limit:
        raise ValueError(f"{name} is compressed, which torch.save never does")
    return archive.read(entry)


def _read_legacy(data: bytes) -> TorchFile:
    """Reads five pickles (magic, version, system, content, keys) and the storages."""
    file = io.BytesIO(data[:LARGEST_PICKLE])
    magic, _ = read_pickle(file)
    if magic != LEGACY_MAGIC:
        raise ValueError("it is a pickle, but not one that torch.save wrote")
    protocol, _ = read_pickle(file)
    if protocol != LEGACY_PROTOCOL:
        raise ValueError(f"expected format {LEGACY_PROTOCOL} of torch.save")
    system, _ = read_pickle(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("it was written on a big-endian machine")
    content, storages = read_pickle(file)
    keys, _ = read_pickle(file)
    texts = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not texts or sorted(keys) != sorted(storages):
        raise ValueError(f"{DAMAGED}: its list of storages is not that of its tensors")
    raw = _legacy_numbers(data, file.tell(), [storages[key] for key in keys])
    return TorchFile(content, lambda storage: _as_numbers(raw[storage.key], storage))


def _legacy_numbers(
    data: bytes, position: int, storages: list[Storage]
) -> dict[str, memoryview]:
    """Returns the bytes of the storages, each of which follows its count."""
    places = {}
    for storage in storages:
        count = int.from_bytes(data[position : position + 8], "little")
        start = position + 8
        position = start + count * storage.dtype.itemsize
        if position > len(data):
            raise ValueError(
                f"it is cut short: {len(data)} bytes, expected at least {position}"
            )
        places[storage.key] = memoryview(data)[start:position]
    return places


def _as_numbers(raw: bytes | memoryview, storage: Storage) -> np.ndarray:
    if len(raw) < storage.count * storage.dtype.itemsize:
        raise ValueError(f"{DAMAGED}: a storage is shorter than its tensors")
    return np.frombuffer(raw, storage.dtype, storage.count)

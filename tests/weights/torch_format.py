"""Files as `torch.save` writes them, made without PyTorch.

The tests hold what PyTorch really writes against the reader, too; this twin makes the
files that no PyTorch would write.
"""

import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np

TYPES = {
    np.dtype("<f4"): "FloatStorage",
    np.dtype("<f2"): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype("<f8"): "DoubleStorage",
    np.dtype("<i8"): "LongStorage",
}


class Raw(bytes):
    """Pickle operations that go into the file as they are."""


class Strided:
    """A tensor whose shape, strides or offset say what they want."""

    def __init__(self, numbers, shape, strides, offset=0, count=None):
        self.numbers = np.asarray(numbers)
        self.shape, self.strides, self.offset = shape, strides, offset
        self.count = self.numbers.size if count is None else count


def glob(module: str, name: str) -> bytes:
    """The operation that asks for a name in a module."""
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def operations(pickled: bytes) -> bytes:
    """A pickle of protocol 2 without its header and its end."""
    return pickled[2:-1]


class Pickled:
    """The pickle of an object; arrays become tensors, their numbers `storages`."""

    def __init__(self, content):
        self.storages: list[bytes] = []
        self.counts: list[int] = []
        self.data = pickle.PROTO + b"\x02" + self._encode(content) + pickle.STOP

    def _encode(self, value) -> bytes:
        if isinstance(value, Raw):
            return value
        if isinstance(value, np.ndarray):
            value = np.ascontiguousarray(value) if value.ndim else value
            strides = [stride // value.itemsize for stride in value.strides]
            return self._tensor(Strided(value, value.shape, strides))
        if isinstance(value, Strided):
            return self._tensor(value)
        if isinstance(value, dict):
            items = [part for pair in value.items() for part in pair]
            empty = glob("collections", "OrderedDict") + pickle.EMPTY_TUPLE + b"R"
            return empty + self._marked(items, pickle.SETITEMS)
        if isinstance(value, list):
            return pickle.EMPTY_LIST + self._marked(value, pickle.APPENDS)
        if isinstance(value, tuple):
            return self._marked(value, pickle.TUPLE)
        return operations(pickle.dumps(value, protocol=2))

    def _marked(self, values, end: bytes) -> bytes:
        return pickle.MARK + b"".join(map(self._encode, values)) + end

    def _tensor(self, tensor: Strided) -> bytes:
        storage_type = TYPES[tensor.numbers.dtype]
        key = str(len(self.storages))
        self.storages.append(tensor.numbers.tobytes())
        self.counts.append(tensor.numbers.size)
        reference = ("storage", Raw(glob("torch", storage_type)), key, "cpu")
        storage = Raw(self._encode((*reference, tensor.count)) + pickle.BINPERSID)
        arguments = (storage, tensor.offset, tuple(tensor.shape))
        arguments += (tuple(tensor.strides), False, {})
        rebuild = glob("torch._utils", "_rebuild_tensor_v2")
        return rebuild + self._encode(arguments) + pickle.REDUCE


def write_zip(path, content, compression=zipfile.ZIP_STORED):
    """Writes the format of PyTorch 1.6 and later."""
    pickled = Pickled(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled.data)
        archive.writestr("archive/byteorder", "little")
        for key, numbers in enumerate(pickled.storages):
            archive.writestr(f"archive/data/{key}", numbers)
        archive.writestr("archive/version", "3\n")
    return path


def write_legacy(path, content):
    """Writes the format before PyTorch 1.6."""
    pickled = Pickled(content)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    keys = [str(key) for key in range(len(pickled.storages))]
    parts = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2)]
    parts += [pickle.dumps(system, 2), pickled.data, pickle.dumps(keys, 2)]
    for count, numbers in zip(pickled.counts, pickled.storages, strict=True):
        parts += [struct.pack("<q", count), numbers]
    path.write_bytes(b"".join(parts))
    return path

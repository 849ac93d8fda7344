"""The pickle inside a PyTorch checkpoint, read without running any of it.

A pickle names functions, and `pickle` calls them. Here the standard library's unpickler
knows only the operations that a dictionary of tensors needs, and a name means one of
the few functions of this file, or the reading ends.
"""

import math
import pickle
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import numpy as np
from ml_dtypes import bfloat16

OPERATIONS = {
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
    *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
}
MAX_DIMENSIONS = 8
# A byte of a pickle can take some 80 bytes of memory. The pickle of an HRNet-W48 with
# Adam's state has 0.5 MB.
LARGEST_PICKLE = 16 * 2**20
DAMAGED = "its pickle is damaged"
# What the unpickler raises over pickles that are not what they seem.
FAILURES = (pickle.UnpicklingError, struct.error, ValueError, LookupError)
FAILURES += (TypeError, AttributeError)


@dataclass(frozen=True)
class Storage:
    """Numbers that lie elsewhere in the file."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class TensorView:
    """A tensor: where its numbers lie in a storage. Checked to lie inside."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor, given its storage's numbers `[count]`."""
        if 0 in self.shape:
            return np.empty(self.shape, numbers.dtype)
        size = numbers.itemsize
        strides = [stride * size for stride in self.strides]
        return np.ndarray(
            self.shape, numbers.dtype, numbers, self.offset * size, strides
        )


def read_pickle(file: BinaryIO) -> tuple[Any, dict[str, Storage]]:
    """Reads one pickle and leaves the file behind its end.

    Args:
        file: at the pickle's first byte.

    Returns:
        Dictionaries, lists, tuples, numbers, texts and `TensorView`; and all storages
        that were named, by key.

    Raises:
        ValueError: damaged, or it names anything but tensors and containers.
    """
    unpickler = _Unpickler(file, encoding="latin-1")
    try:
        return unpickler.load(), unpickler.storages
    except _Refused:
        raise
    except EOFError:
        size = f"{LARGEST_PICKLE >> 20} MiB"
        raise ValueError(f"{DAMAGED}: cut short, or larger than {size}") from None
    except FAILURES as error:
        raise ValueError(f"{DAMAGED}: {error}") from None


class _Refused(ValueError):
    """Well-formed, but not the pickle of a state dict."""


def _refuse(operation: str) -> Callable[["_Unpickler"], None]:
    def refuse(_: "_Unpickler") -> None:
        raise _Refused(f"its pickle uses {operation}, which no state dict needs")

    return refuse


class _Unpickler(pickle._Unpickler):
    """The standard library's unpickler in Python, with fewer operations.

    `pickle.Unpickler`, its twin in C, offers no way to take operations away. It also
    allocates its memo up to whatever index a file names, and hashes keys of
    dictionaries before anybody can look at them: nested tuples overflow the C stack.
    """

    # The standard library's own attributes, of which the type stubs know nothing.
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        ord(operation.code): pickle._Unpickler.dispatch[ord(operation.code)]
        if operation.name in OPERATIONS
        else _refuse(operation.name)
        for operation in pickletools.opcodes
    }

    def __init__(self, file: BinaryIO, **options: Any) -> None:
        super().__init__(file, **options)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Callable | np.dtype:
        """The stand-in for a name; nothing is imported."""
        full = f"{module}.{name}"
        if full not in STAND_INS:
            raise _Refused(
                f"its pickle asks for {full[:100]!r}, which is refused: only tensors "
                "and plain containers are read, nothing is run"
            )
        return STAND_INS[full]

    def persistent_load(self, pid: Any) -> Storage:
        """The storage of a reference `("storage", type, key, device, count)`."""
        # PyTorch before 0.4 appended the part of the storage that is viewed.
        if isinstance(pid, tuple) and len(pid) == 6 and pid[5] is None:
            pid = pid[:5]
        match pid:
            case (str(kind), np.dtype() as dtype, str(key), _, count):
                _expect(kind == "storage" and _is_count(count), "a reference")
            case _:
                raise ValueError("a reference to no storage")
        storage = Storage(key, dtype, count)
        self.storages.setdefault(key, storage)
        return storage

    def load_setitem(self) -> None:
        """Sets one entry of a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def load_setitems(self) -> None:
        """Sets the entries since the mark."""
        self._update(self.pop_mark())

    def _update(self, values: list[Any]) -> None:
        target = self.stack[-1]
        _expect(isinstance(target, dict), "an entry without a dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Tuples as keys would be hashed item by item, however deep they are.
            _expect(isinstance(key, str | int), "a key that is no text or number")
            target[key] = value

    def load_build(self) -> None:
        """Drops attributes of a dictionary: `_metadata`, the versions of layers.

        The library's own calls `__setstate__` or writes into `__dict__` of whatever
        it finds: a tensor's shape could change after it was checked.
        """
        self.stack.pop()
        _expect(isinstance(self.stack[-1], dict), "attributes of no dictionary")

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.BUILD[0]] = load_build


def _dictionary() -> dict:
    return {}


def _size(numbers: Any) -> tuple[int, ...]:
    _expect(isinstance(numbers, tuple | list), "a size without numbers")
    # A list can be named many times, each time for one byte: no long copies.
    _expect(len(numbers) <= MAX_DIMENSIONS, "a size of too many dimensions")
    return tuple(numbers)


def _parameter(tensor: Any, requires_grad: Any, hooks: Any) -> TensorView:
    _expect(isinstance(tensor, TensorView), "a parameter that is no tensor")
    return tensor


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any
) -> TensorView:
    """What `torch._utils._rebuild_tensor_v2` makes; bounds checked."""
    _expect(isinstance(storage, Storage) and _is_count(offset), "a tensor's storage")
    for numbers in (shape, strides):
        _expect(
            isinstance(numbers, tuple) and all(_is_count(n) for n in numbers),
            "a tensor's shape or strides",
        )
    _expect(len(shape) == len(strides) <= MAX_DIMENSIONS, "a tensor's strides")
    # requires_grad, hooks, and marks such as "to be negated" that we don't apply.
    _expect(len(rest) <= 3 and not (len(rest) == 3 and rest[2]), "a marked tensor")
    if 0 not in shape:
        last = offset + sum(
            (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
        )
        _expect(last < storage.count, "a tensor that reaches beyond its storage")
    _expect(math.prod(shape) <= storage.count, "a tensor larger than its storage")
    return TensorView(storage, offset, shape, strides)


# Little-endian on disk; these files are written on x86 and ARM alone.
STORAGES = {
    **{"Float": "<f4", "Half": "<f2", "BFloat16": bfloat16, "Double": "<f8"},
    **{"Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "i1"},
    **{"Byte": "u1", "Bool": "?"},
}
STAND_INS: dict[str, Callable | np.dtype] = {
    "collections.OrderedDict": _dictionary,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    **{f"torch.{name}Storage": np.dtype(kind) for name, kind in STORAGES.items()},
}


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**48


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)

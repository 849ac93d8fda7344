"""Reads the pickle inside a PyTorch checkpoint without executing code in it.

A pickle names functions, which `pickle` calls. Here, the standard library's unpickler
has only the operations that a dictionary of tensors needs, and a name can only mean one
of the few functions in this file. Any other operation or name raises an error.
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
# One byte of a pickle can need about 80 bytes of memory. The pickle of an HRNet-W48
# with the state of Adam has 0.5 MB.
LARGEST_PICKLE = 16 * 2**20
DAMAGED = "its pickle is damaged"
# The errors of the unpickler for damaged pickles.
FAILURES = (pickle.UnpicklingError, struct.error, ValueError, LookupError)
FAILURES += (TypeError, AttributeError)


@dataclass(frozen=True)
class Storage:
    """A reference to numbers in another part of the file.

    Attributes:
        key: The name of the storage.
        dtype: The type of the numbers.
        count: The number of numbers.
    """

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class TensorView:
    """A tensor as a part of a storage, which was checked to lie inside it.

    Attributes:
        storage: The storage with the numbers.
        offset: The index of the first number.
        shape: The shape of the tensor.
        strides: The distance of neighbours along each axis, in numbers.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the tensor, given the numbers `[count]` of its storage."""
        if 0 in self.shape:
            return np.empty(self.shape, numbers.dtype)
        size = numbers.itemsize
        strides = [stride * size for stride in self.strides]
        return np.ndarray(
            self.shape, numbers.dtype, numbers, self.offset * size, strides
        )


def read_pickle(file: BinaryIO) -> tuple[Any, dict[str, Storage]]:
    """Reads one pickle; the file is then at the byte after it.

    Args:
        file: The file, at the first byte of the pickle.

    Returns:
        The object, which consists of dictionaries, lists, tuples, numbers, texts and
        `TensorView`, and all storages that were named, by key.

    Raises:
        ValueError: The pickle is damaged, or names other objects than tensors and plain
            containers.
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
    """A pickle is well-formed, but not that of a state dict."""


def _refuse(operation: str) -> Callable[["_Unpickler"], None]:
    def refuse(_: "_Unpickler") -> None:
        raise _Refused(f"its pickle uses {operation}, which no state dict needs")

    return refuse


class _Unpickler(pickle._Unpickler):
    """The standard library's unpickler in Python, with fewer operations.

    `pickle.Unpickler`, which is written in C, offers no way to remove operations. It
    also allocates its memo up to any index that a file names, and hashes the keys of
    dictionaries before they can be checked, so that nested tuples overflow the C stack.
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
        """Returns the stand-in for a name, without importing a module."""
        full = f"{module}.{name}"
        if full not in STAND_INS:
            raise _Refused(
                f"its pickle asks for {full[:100]!r}, which is refused: only tensors "
                "and plain containers are read, nothing is run"
            )
        return STAND_INS[full]

    def persistent_load(self, pid: Any) -> Storage:
        """Returns the storage of `("storage", type, key, device, count)`."""
        # PyTorch before 0.4 appended metadata of a view, here None.
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
            # A tuple as a key would be hashed to any depth of nesting.
            _expect(isinstance(key, str | int), "a key that is no text or number")
            target[key] = value

    def load_build(self) -> None:
        """Ignores attributes of a dictionary: `_metadata`, the versions of layers.

        The library's own method calls `__setstate__` of any object or writes to its
        `__dict__`, so that the shape of a tensor could change after it was checked.
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
    # One byte is enough to name a list again, so long lists must not be copied.
    _expect(len(numbers) <= MAX_DIMENSIONS, "a size of too many dimensions")
    return tuple(numbers)


def _parameter(tensor: Any, requires_grad: Any, hooks: Any) -> TensorView:
    _expect(isinstance(tensor, TensorView), "a parameter that is no tensor")
    return tensor


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any
) -> TensorView:
    """Does what `torch._utils._rebuild_tensor_v2` does, and checks the bounds."""
    _expect(isinstance(storage, Storage) and _is_count(offset), "a tensor's storage")
    for numbers in (shape, strides):
        _expect(
            isinstance(numbers, tuple) and all(_is_count(n) for n in numbers),
            "a tensor's shape or strides",
        )
    _expect(len(shape) == len(strides) <= MAX_DIMENSIONS, "a tensor's strides")
    # The rest is requires_grad, hooks, and flags such as "negated", which are refused.
    _expect(len(rest) <= 3 and not (len(rest) == 3 and rest[2]), "a marked tensor")
    if 0 not in shape:
        last = offset + sum(
            (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
        )
        _expect(last < storage.count, "a tensor that reaches beyond its storage")
    _expect(math.prod(shape) <= storage.count, "a tensor larger than its storage")
    return TensorView(storage, offset, shape, strides)


# The types on disk are little-endian, as on x86 and ARM.
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

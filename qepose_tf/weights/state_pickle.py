"""The pickle inside a PyTorch checkpoint, read without running any of it.

`pickle.Unpickler` calls what the file names. This reader calls nothing: the standard
library's `pickletools` splits the file into tokens, and only those that build a
dictionary of tensors have a meaning here.
"""

import math
import pickletools
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from ml_dtypes import bfloat16

# Little-endian on disk; these files are written on x86 and ARM alone.
STORAGES = {
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype(bfloat16),
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
}
DICT = "collections.OrderedDict"
SIZE = "torch.Size"
TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
PARAMETER = "torch._utils._rebuild_parameter"
ALLOWED = {DICT, SIZE, *TENSORS, PARAMETER, *STORAGES}

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
}
DAMAGED = "its pickle is damaged"


@dataclass(frozen=True)
class Global:
    """A name that the pickle may use; what it means is decided in this file."""

    name: str


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
        steps = [stride * numbers.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(
            numbers[self.offset :], self.shape, steps, writeable=False
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
    machine = _Machine()
    try:
        for token, argument, _ in pickletools.genops(file):
            machine.step(token.name, argument)
        return machine.pop(), machine.storages
    except _Refused as error:
        raise ValueError(str(error)) from None
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise ValueError(f"{DAMAGED}: {error}") from None


class _Refused(Exception):
    """Well-formed, but not the pickle of a state dict."""


class _Machine:
    """The stack machine of pickle, with the few operations that are needed."""

    def __init__(self):
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def pop(self) -> Any:
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def step(self, token: str, argument: Any) -> None:
        if token in LITERALS:
            self.stack.append(argument)
        elif token in CONSTANTS:
            self.stack.append(CONSTANTS[token])
        elif token in EMPTY:
            self.stack.append(EMPTY[token]())
        elif token in TUPLES:
            values = [self.pop() for _ in range(TUPLES[token])]
            self.stack.append(tuple(reversed(values)))
        elif token not in ("PROTO", "FRAME", "STOP"):
            operation = getattr(self, f"op_{token.lower()}", None)
            if operation is None:
                raise _Refused(f"its pickle uses {token}, which no state dict needs")
            operation(argument)

    def op_mark(self, _) -> None:
        self.marks.append(len(self.stack))

    def op_tuple(self, _) -> None:
        self.stack.append(tuple(self.since_mark()))

    def op_binput(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    op_long_binput = op_binput

    def op_memoize(self, _) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_binget(self, index: int) -> None:
        self.stack.append(self.memo[index])

    op_long_binget = op_binget

    def op_append(self, _) -> None:
        self._extend([self.pop()])

    def op_appends(self, _) -> None:
        self._extend(self.since_mark())

    def _extend(self, values: list[Any]) -> None:
        _expect(isinstance(self.stack[-1], list), "an item without a list")
        self.stack[-1].extend(values)

    def op_setitem(self, _) -> None:
        value, key = self.pop(), self.pop()
        self._update([key, value])

    def op_setitems(self, _) -> None:
        self._update(self.since_mark())

    def _update(self, values: list[Any]) -> None:
        target = self.stack[-1]
        _expect(isinstance(target, dict), "an entry without a dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Tuples as keys would be hashed item by item, however deep they are.
            _expect(isinstance(key, str | int), "a key that is no text or number")
            target[key] = value

    def op_global(self, names: str) -> None:
        module, _, name = names.partition(" ")
        self._push_global(module, name)

    def op_stack_global(self, _) -> None:
        name, module = self.pop(), self.pop()
        _expect(isinstance(name, str) and isinstance(module, str), "a nameless global")
        self._push_global(module, name)

    def _push_global(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in ALLOWED:
            raise _Refused(
                f"its pickle asks for {full[:100]!r}, which is refused: only tensors "
                "and plain containers are read, nothing is run"
            )
        self.stack.append(Global(full))

    def op_reduce(self, _) -> None:
        arguments, function = self.pop(), self.pop()
        _expect(isinstance(function, Global), "a call of no function")
        _expect(isinstance(arguments, tuple), "a call without arguments")
        if function.name == DICT and arguments == ():
            self.stack.append({})
        elif function.name == SIZE and len(arguments) == 1:
            self.stack.append(tuple(arguments[0]))
        elif function.name == PARAMETER and isinstance(arguments[0], TensorView):
            self.stack.append(arguments[0])
        elif function.name in TENSORS:
            self.stack.append(_tensor(*arguments))
        else:
            raise ValueError(f"{function.name} with unexpected arguments")

    def op_build(self, _) -> None:
        # A state dict's attribute _metadata (versions of the layers) is not needed.
        self.pop()
        _expect(isinstance(self.stack[-1], dict), "attributes of no dictionary")

    def op_binpersid(self, _) -> None:
        reference = self.pop()
        _expect(isinstance(reference, tuple) and len(reference) >= 5, "a reference")
        kind, storage_type, key, _, count, *view = reference
        _expect(
            kind == "storage"
            and isinstance(storage_type, Global)
            and isinstance(key, str)
            and _is_count(count)
            and view in ([], [None]),
            "a reference to no storage",
        )
        _expect(storage_type.name in STORAGES, "a storage of no known type")
        storage = Storage(key, STORAGES[storage_type.name], count)
        self.storages.setdefault(key, storage)
        self.stack.append(storage)


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
    _expect(len(shape) == len(strides) <= 8, "a tensor's strides")
    # requires_grad, hooks, and marks such as "to be negated" that we don't apply.
    _expect(len(rest) <= 3 and not (len(rest) == 3 and rest[2]), "a marked tensor")
    if 0 not in shape:
        last = offset + sum(
            (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
        )
        _expect(last < storage.count, "a tensor that reaches beyond its storage")
    _expect(math.prod(shape) <= storage.count, "a tensor larger than its storage")
    return TensorView(storage, offset, shape, strides)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**48


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)

"""Reads checkpoint files of PyTorch and safetensors as named arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from safetensors import SafetensorError, deserialize

from qepose_tf.weights.state_pickle import TensorView
from qepose_tf.weights.torch_file import PICKLE, ZIP, read_torch_file

# The keys that training scripts store the weights under, in the order of precedence.
WRAPPERS = ("state_dict", "model", "best_state_dict")
DEEPEST = 3
LARGEST = 4 * 2**30  # bytes; a file of HRNet-W48 and its optimiser has 1 GB
SAFETENSORS = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
}
EXPECTED = "expected a PyTorch checkpoint (.pth, .pt, .bin, .tar) or a .safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        tensors: The tensors by name, in PyTorch's order of axes.
        others: The names of other objects, for example the state of an optimiser.
    """

    tensors: dict[str, np.ndarray]
    others: list[str] = field(default_factory=list)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a file of `torch.save` or safetensors without executing code in it.

    Args:
        path: The file. Its format is recognised by its content, not by its name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a checkpoint, is damaged, or has other objects than
            tensors and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {EXPECTED} file, found none")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: {EXPECTED} file of an HRNet, got one above 4 GiB")
    data = path.read_bytes()
    try:
        if data.startswith((ZIP, PICKLE)):
            return _read_torch(data)
        if data[8:9] == b"{":
            return Checkpoint(_read_safetensors(data))
    except ValueError as error:
        raise ValueError(f"{path}: {EXPECTED} file, but {error}") from None
    raise ValueError(
        f"{path}: {EXPECTED} file, got one that starts with {data[:16]!r}"
        + (", a web page" if data.lstrip()[:1] == b"<" else "")
    )


def _read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    try:
        entries = deserialize(data)
    except SafetensorError as error:
        raise ValueError(f"it is damaged or cut short: {error}") from None
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in SAFETENSORS:
            raise ValueError(f"{name} is of type {entry['dtype']}, which is unexpected")
        numbers = np.frombuffer(entry["data"], SAFETENSORS[entry["dtype"]])
        tensors[name] = numbers.reshape(entry["shape"])
    return tensors


def _read_torch(data: bytes) -> Checkpoint:
    file = read_torch_file(data)
    state, others = _unwrap(file.content)
    odd = [key for key, value in state.items() if not isinstance(value, TensorView)]
    if odd:
        raise ValueError(f"expected tensors alone, but {names_of(odd)} is none")
    return Checkpoint(
        {str(key): file.tensor(view) for key, view in state.items()}, others
    )


def _unwrap(content: Any) -> tuple[dict, list[str]]:
    """Returns the dictionary with the tensors, and the names of other objects."""
    others: list[str] = []
    for _ in range(DEEPEST):
        if not isinstance(content, dict):
            break
        if any(isinstance(value, TensorView) for value in content.values()):
            return content, others
        inner = [key for key in WRAPPERS if isinstance(content.get(key), dict)]
        if not inner:
            break
        others += [str(key) for key in content if key != inner[0]]
        content = content[inner[0]]
    raise ValueError(f"it holds no tensors, neither itself nor under {list(WRAPPERS)}")


def names_of(keys: Sequence[str | int], most: int = 3) -> str:
    """Returns the first names as a text, for an error message."""
    shown = [str(key)[:100] for key in keys[:most]]
    more = len(keys) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")

"""Times products of large matrices, which show the limit of the machine."""

import functools
from collections.abc import Callable, Mapping

from qepose_tf.benchmark.timing import Timing

SIDES = (2048, 4096)
_NAME = "{library} product {type} {side}"
TYPES = {"fp32": "float32", "bf16": "bfloat16"}


def tensorflow_products() -> dict[str, Callable[[], object]]:
    """Returns products of square matrices in TensorFlow, as calls by name."""
    import tensorflow as tf

    def product(dtype: str, side: int) -> Callable[[], object]:
        @functools.cache  # a factor takes memory only if its product is timed
        def factor() -> tf.Tensor:
            return tf.cast(tf.random.uniform([side, side]), dtype)

        return lambda: tf.linalg.matmul(factor(), factor())

    return _of_every_kind("tensorflow", product)


def torch_products() -> dict[str, Callable[[], object]]:
    """Returns products of square matrices in PyTorch, as calls by name."""
    import torch

    def product(dtype: str, side: int) -> Callable[[], object]:
        @functools.cache
        def factor() -> torch.Tensor:
            return torch.rand(side, side).to(getattr(torch, dtype))

        return lambda: factor() @ factor()

    return _of_every_kind("torch", product)


def _of_every_kind(
    library: str, product: Callable[[str, int], Callable[[], object]]
) -> dict[str, Callable[[], object]]:
    return {
        _NAME.format(library=library, type=short, side=side): product(dtype, side)
        for short, dtype in TYPES.items()
        for side in SIDES
    }


def is_product(name: str) -> bool:
    """Returns whether the name of a call is that of a product."""
    return " product " in name


def gflops(name: str, timing: Timing) -> float:
    """Returns the speed of a product in its fastest round, in GFLOP/s.

    Args:
        name: The name of the call.
        timing: Its times.
    """
    side = int(name.rpartition(" ")[2])
    return 2 * side**3 / min(timing.seconds) / 1e9


def limits(timings: Mapping[str, Timing]) -> dict[str, float]:
    """Returns the highest speed of each type, over libraries and sides, in GFLOP/s.

    Args:
        timings: The times of products by name.
    """
    found: dict[str, float] = {}
    for name, timing in timings.items():
        kind = name.split()[2]
        found[kind] = max(found.get(kind, 0.0), gflops(name, timing))
    return found

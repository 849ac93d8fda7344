"""The machine's own limit: how fast it multiplies large matrices."""

import functools
from collections.abc import Callable, Mapping

from qepose_tf.benchmark.timing import Timing

SIDES = (2048, 4096)
_NAME = "{library} product {type} {side}"
TYPES = {"fp32": "float32", "bf16": "bfloat16"}


def tensorflow_products() -> dict[str, Callable[[], object]]:
    """Square products in TensorFlow, to be timed; by library, type and side."""
    import tensorflow as tf

    def product(dtype: str, side: int) -> Callable[[], object]:
        @functools.cache  # what is never timed takes no memory
        def factor() -> tf.Tensor:
            return tf.cast(tf.random.uniform([side, side]), dtype)

        return lambda: tf.linalg.matmul(factor(), factor())

    return _of_every_kind("tensorflow", product)


def torch_products() -> dict[str, Callable[[], object]]:
    """The same in PyTorch."""
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
    """Whether a timed call is one of these."""
    return " product " in name


def gflops(name: str, timing: Timing) -> float:
    """Billions of operations a second, in the fastest round: a limit is no median."""
    side = int(name.rpartition(" ")[2])
    return 2 * side**3 / min(timing.seconds) / 1e9


def limits(timings: Mapping[str, Timing]) -> dict[str, float]:
    """The largest rate of each type that was timed, of all libraries and sides."""
    found: dict[str, float] = {}
    for name, timing in timings.items():
        kind = name.split()[2]
        found[kind] = max(found.get(kind, 0.0), gflops(name, timing))
    return found

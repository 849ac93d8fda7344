"""What Keras leaves to the backend: which device, waiting, compiling, its memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

# Large enough to fill a device, small enough to be over within a second.
CPU_SIDES = (256, 1024)
GPU_SIDES = (4096, 8192, 16384)
POSES = ("poses", "scores", "keypoint_scores", "cells")

Call = Callable[..., Any]


@dataclass(frozen=True)
class Device:
    """The first device of a backend.

    Attributes:
        name: of the chip, as its framework gives it.
        is_gpu: whether it is one.
        compiled: a function of tensors as the backend's users compile it.
        compiled_model: from a `PoseEstimator`, and whether PyTorch is to compile,
            too, a function from `[B, H, W, 3]` uint8 to the tensors of `POSES`.
        wait: returns when the device has made the tensors.
        held: bytes of its memory in use; None where nobody counts.
        peak: the most since `forget_peak`; None where nobody counts.
        forget_peak: whether the peak starts anew from now on.
    """

    name: str
    is_gpu: bool
    compiled: Callable[[Call], Call]
    compiled_model: Callable[[Any, bool], Call]
    wait: Call
    held: Callable[[], int | None]
    peak: Callable[[], int | None]
    forget_peak: Callable[[], bool]

    @property
    def product_sides(self) -> tuple[int, ...]:
        """Sides of the matrices whose product shows the device's limit."""
        return GPU_SIDES if self.is_gpu else CPU_SIDES

    def done(self, call: Call, *args: Any) -> Any:
        """What the call returns, once the device has made it."""
        result = call(*args)
        self.wait(result)
        return result

    def memory_counter(self) -> Callable[[], int | None]:
        """Starts to count; call the result for the most bytes taken since then.

        None where nobody counts, and where the peak of the whole process, which JAX
        never forgets, did not rise.
        """
        forgets = self.forget_peak()
        held, before = self.held(), self.peak()

        def taken() -> int | None:
            peak = self.peak()
            if peak is None or held is None or before is None:
                return None
            if not forgets and peak <= before:
                return None
            return peak - held

        return taken


def of_backend(backend: str) -> Device:
    """The first GPU that the backend sees, or else the CPU.

    Args:
        backend: `jax`, `tensorflow` or `torch`, the one that Keras runs on.

    Raises:
        ValueError: another backend.
    """
    if backend not in DEVICES:
        raise ValueError(
            f"KERAS_BACKEND: expected one of {sorted(DEVICES)}, got {backend!r}"
        )
    return DEVICES[backend]()


def _detect(model: Any, images: Any) -> dict[str, Any]:
    found = model(images, training=False)
    return {name: found[name] for name in POSES}


def _jax() -> Device:
    import jax

    device = jax.devices()[0]

    def compiled_model(model: Any, _compile: bool) -> Call:
        def detect(weights: list, state: list, images: Any) -> dict[str, Any]:
            found, _ = model.stateless_call(weights, state, images, training=False)
            return {name: found[name] for name in POSES}

        # As arguments: XLA would fold weights that it knows, for minutes.
        weights = [variable.value for variable in model.trainable_variables]
        state = [variable.value for variable in model.non_trainable_variables]
        program = jax.jit(detect)
        return lambda images: program(weights, state, images)

    def statistic(key: str) -> int | None:
        # The CPU has none.
        return (device.memory_stats() or {}).get(key)

    return Device(
        name=device.device_kind,
        is_gpu=device.platform == "gpu",
        compiled=jax.jit,
        compiled_model=compiled_model,
        wait=jax.block_until_ready,
        held=lambda: statistic("bytes_in_use"),
        peak=lambda: statistic("peak_bytes_in_use"),
        forget_peak=lambda: False,
    )


def _torch() -> Device:
    import torch

    is_gpu = torch.cuda.is_available()
    if is_gpu:
        # TensorFloat-32 in products, as PyTorch's convolutions, JAX and TensorFlow do.
        torch.set_float32_matmul_precision("high")

    def compiled_model(model: Any, compile: bool) -> Call:
        # torch.compile's guards fail on arrays that it meets in inference mode.
        mode = torch.no_grad if compile else torch.inference_mode
        forward = torch.compile(model) if compile else model

        def detect(images: Any) -> dict[str, Any]:
            with mode():
                found = forward(images, training=False)
            return {name: found[name] for name in POSES}

        return detect

    def wait(_results: Any) -> None:
        if is_gpu:
            torch.cuda.synchronize()

    def forget_peak() -> bool:
        if is_gpu:
            torch.cuda.reset_peak_memory_stats()
        return True

    return Device(
        name=torch.cuda.get_device_name() if is_gpu else "cpu",
        is_gpu=is_gpu,
        compiled=lambda function: function,
        compiled_model=compiled_model,
        wait=wait,
        held=lambda: torch.cuda.memory_allocated() if is_gpu else None,
        peak=lambda: torch.cuda.max_memory_allocated() if is_gpu else None,
        forget_peak=forget_peak,
    )


def _tensorflow() -> Device:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # TensorFlow would take the whole memory for itself.
        tf.config.experimental.set_memory_growth(gpu, True)
    name = "cpu"
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        name = details.get("device_name", "GPU")

    def memory(key: str) -> int | None:
        return tf.config.experimental.get_memory_info("GPU:0")[key] if gpus else None

    def forget_peak() -> bool:
        if gpus:
            tf.config.experimental.reset_memory_stats("GPU:0")
        return True

    def wait(results: Any) -> None:
        for tensor in keras.tree.flatten(results):
            if tf.is_tensor(tensor):
                tensor.numpy()

    return Device(
        name=name,
        is_gpu=bool(gpus),
        compiled=tf.function,
        compiled_model=lambda model, _compile: tf.function(
            lambda images: _detect(model, images)
        ),
        wait=wait,
        held=lambda: memory("current"),
        peak=lambda: memory("peak"),
        forget_peak=forget_peak,
    )


DEVICES = {"jax": _jax, "torch": _torch, "tensorflow": _tensorflow}

"""The HRNet body of timm in PyTorch, channels last, with random weights."""

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

with warnings.catch_warnings():
    # torchvision warns without CUDA, but timm needs only its Python code.
    warnings.simplefilter("ignore", UserWarning)
    import timm
from torch.utils.flop_counter import FlopCounterMode


def device_name() -> str:
    """Returns the name of the first GPU that PyTorch finds, or `cpu`."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


class TimmBody:
    """A body from images to four maps at strides 4 to 32.

    Args:
        name: timm's name of an HRNet, such as `hrnet_w32`.
        size: The side of the images in px.
        batch: The number of images.
        dtype: `float32`, or `bfloat16` by autocast.

    Raises:
        ValueError: timm has no such body.
    """

    def __init__(
        self, name: str, size: int, batch: int, dtype: str = "float32"
    ) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._forget_peak()
        torch.manual_seed(0)
        try:
            body = timm.create_model(
                name, pretrained=False, features_only=True, feature_location=""
            )
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"expected timm's name of a HRNet, got {name!r}: {error}"
            ) from error
        self.body = body.to(self.device, memory_format=torch.channels_last)
        images = np.random.default_rng(0).normal(size=(batch, 3, size, size))
        images = torch.from_numpy(images.astype("float32")).to(self.device)
        self.images = images.to(memory_format=torch.channels_last)
        fused = self.device == "cuda"
        self.optimizer = torch.optim.Adam(body.parameters(), lr=1e-6, fused=fused)
        self.dtype = dtype
        self.forward_flops = self._count()

    def infer(self) -> list[torch.Tensor]:
        """Returns the maps when the device has computed them."""
        self.body.eval()
        with torch.inference_mode(), self._precision():
            maps = self.body(self.images)
        self._wait()
        return maps

    def train(self) -> None:
        """Runs a step of Adam on the mean square of the maps."""
        self.body.train()
        with self._precision():
            maps = self.body(self.images)
        loss = sum(one.float().square().mean() for one in maps)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self._wait()

    def peak_bytes(self) -> int | None:
        """Returns the peak of GPU memory in bytes since this body was made, or None."""
        if self.device == "cpu":
            return None
        return torch.cuda.max_memory_allocated() - self.held

    def _count(self) -> float:
        """Returns the operations of a batch, two for each multiply-add."""
        self.body.eval()
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            self.body(self.images[:1])
        return float(counter.get_total_flops()) * len(self.images)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device, getattr(torch, self.dtype))

    def _forget_peak(self) -> None:
        self.held = 0
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.held = torch.cuda.memory_allocated()

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

"""The deformable convolution of torchvision, and the same written in PyTorch.

torchvision's compiled part does not load beside every PyTorch. What its operator gives
is stored in `tests/layers/deform_conv2d.npz`.
"""

import warnings
from pathlib import Path

import numpy as np
import torch

TAPS = torch.tensor([[y, x] for y in (-1, 0, 1) for x in (-1, 0, 1)]).float().T
TORCHVISIONS = Path(__file__).parents[1] / "layers/deform_conv2d.npz"


def written_deform_conv2d(inputs, offset, weight):
    """`torchvision.ops.deform_conv2d` of 3x3 kernels with padding 1, in PyTorch."""
    batch, channels, height, width = inputs.shape
    groups = offset.shape[1] // 18
    offset = offset.view(batch, groups, 9, 2, height, width)
    grid_y, grid_x = torch.meshgrid(
        torch.arange(height), torch.arange(width), indexing="ij"
    )
    y = offset[:, :, :, 0] + grid_y + TAPS[0].view(9, 1, 1)
    x = offset[:, :, :, 1] + grid_x + TAPS[1].view(9, 1, 1)
    table = inputs.view(batch, groups, channels // groups, height * width)
    sampled = 0
    for step_y in (0, 1):
        for step_x in (0, 1):
            row, column = y.floor() + step_y, x.floor() + step_x
            share = (1 - (y - row).abs()) * (1 - (x - column).abs())
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            cell = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            cell = cell.long().flatten(2)[:, :, None]
            values = table.gather(3, cell.expand(-1, -1, channels // groups, -1))
            values = values.view(batch, groups, -1, 9, height, width)
            sampled = sampled + values * (share * inside)[:, :, None]
    kernel = weight.view(groups, -1, channels // groups, 9)
    return torch.einsum("bgctyx,goct->bgoyx", sampled, kernel).flatten(1, 2)


def torchvision_deform_conv2d():
    """torchvision's operator, or None where its compiled part does not load."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torchvision.ops import deform_conv2d
        one = torch.ones(1, 1, 2, 2)
        deform_conv2d(one, torch.zeros(1, 18, 2, 2), torch.ones(1, 1, 3, 3), padding=1)
    except (ImportError, RuntimeError):
        return None
    return lambda inputs, offset, weight: deform_conv2d(
        inputs, offset, weight, padding=1
    )


def check_convolution():
    """Our convolution in PyTorch, which may stand in for torchvision's, is the same."""
    with np.load(TORCHVISIONS) as file:
        theirs = {name: torch.from_numpy(file[name]) for name in file.files}
    for places in ("", "whole_"):
        outputs = written_deform_conv2d(
            theirs["inputs"], theirs[f"{places}offset"], theirs["kernel"]
        )
        torch.testing.assert_close(outputs, theirs[f"{places}outputs"])


deform = torchvision_deform_conv2d() or written_deform_conv2d

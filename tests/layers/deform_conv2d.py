"""Makes `deform_conv2d.npz`: inputs, outputs and gradients of torchvision's operator.

The tests hold our sampling against this file, because torchvision's compiled part does
not load beside every PyTorch: `python -m tests.layers.deform_conv2d`.
"""

from pathlib import Path

import numpy as np
import torch

from tests.weights.torch_deform import torchvision_deform_conv2d

FILE = Path(__file__).with_suffix(".npz")
HEIGHT, WIDTH, CHANNELS = 5, 6, 3


def main():
    """Writes the file."""
    operator = torchvision_deform_conv2d()
    assert operator is not None, "torchvision's compiled part does not load"
    torch.manual_seed(0)
    inputs = torch.randn(2, CHANNELS, HEIGHT, WIDTH, requires_grad=True)
    kernel = torch.randn(4, CHANNELS, 3, 3, requires_grad=True)
    # Taps inside, across the border and far outside.
    offset = 3.0 * torch.randn(2, 18, HEIGHT, WIDTH)
    offset[:, ::5] *= 10.0
    offset.requires_grad_()
    outputs = operator(inputs, offset, kernel)
    upstream = torch.randn_like(outputs)
    gradients = torch.autograd.grad(outputs, (inputs, offset, kernel), upstream)
    # Taps on whole cells, on the border, half and a whole cell beyond it.
    steps = torch.tensor([-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0])
    places = steps[torch.randint(len(steps), (2, 18, HEIGHT, WIDTH))]
    named = {
        "inputs": inputs,
        "kernel": kernel,
        "offset": offset,
        "outputs": outputs,
        "upstream": upstream,
        "to_inputs": gradients[0],
        "to_offset": gradients[1],
        "to_kernel": gradients[2],
        "whole_offset": places,
        "whole_outputs": operator(inputs, places, kernel),
    }
    np.savez_compressed(FILE, **{k: v.detach().numpy() for k, v in named.items()})


if __name__ == "__main__":
    main()

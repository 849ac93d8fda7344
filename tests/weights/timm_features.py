"""timm's HRNet with random weights: its checkpoints and its maps at every stage.

Run as a program, so that the test's process never holds PyTorch, which the import
must not need: `python -m tests.weights.timm_features hrnet_w18 FOLDER FILE...`.
"""

import functools
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

with warnings.catch_warnings():
    # torchvision's compiled parts want CUDA; timm needs only its Python parts.
    warnings.simplefilter("ignore", UserWarning)
    import timm

SIZES = ((64, 64), (96, 160))
LAYERS = (
    *("layer1", "transition1.0", "transition1.1", "transition2.2", "transition3.3"),
    *("stage2", "stage3", "stage4"),
)


def random_model(name: str) -> torch.nn.Module:
    """A classifier whose batch normalisations are all different from the identity."""
    torch.manual_seed(7)
    model = timm.create_model(name, pretrained=False).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0.0, 0.2)
                module.running_mean.normal_(0.0, 0.2)
                module.running_var.uniform_(0.5, 2.0)
    return model


def features(
    model: torch.nn.Module, images: np.ndarray, layers: tuple[str, ...] = LAYERS
) -> dict[str, np.ndarray]:
    """Every map of the layers, `[B, H, W, C]`, of images `[B, H, W, 3]`."""
    maps = {}

    def keep(name):
        def hook(_module, _inputs, outputs):
            branches = outputs if isinstance(outputs, list) else [outputs]
            for i, branch in enumerate(branches):
                maps[f"{name}/{i}"] = branch.permute(0, 2, 3, 1).clone().numpy()

        return hook

    hooks = [
        model.get_submodule(name).register_forward_hook(keep(name)) for name in layers
    ]
    with torch.no_grad():
        model(torch.from_numpy(images).permute(0, 3, 1, 2))
    for hook in hooks:
        hook.remove()
    return maps


WRITERS = {
    "zip.pth": torch.save,
    "legacy.pth": functools.partial(torch.save, _use_new_zipfile_serialization=False),
    "timm.safetensors": save_file,
}


def main(name: str, folder: Path, *files: str) -> None:
    """Writes the files, which are keys of `WRITERS`, and `HxW.npz` with maps."""
    model = random_model(name)
    for file in files:
        WRITERS[file](model.state_dict(), folder / file)
    for height, width in SIZES:
        images = np.random.default_rng(height).normal(size=(2, height, width, 3))
        images = images.astype("float32")
        maps = features(model, images)
        np.savez(folder / f"{height}x{width}.npz", images=images, **maps)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])

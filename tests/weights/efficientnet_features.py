"""timm's EfficientNet-Lite0 with random weights: both layouts of it, and its maps.

Run as a program, so that the test's process never holds PyTorch, which the import
must not need: `python -m tests.weights.efficientnet_features FOLDER [CHECKPOINT]`.
With a checkpoint of the `efficientnet_pytorch` layout, the maps are of its weights.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from tests.weights.timm_features import SIZES, features, random_model

NAME = "tf_efficientnet_lite0"
LAYERS = ("bn1", *(f"blocks.{stage}" for stage in range(7)))
# timm's names of a block's layers -> the other layout's, for the first block, which
# does not widen its input, and for the others.
FIRST = {"conv_dw": "_depthwise_conv", "bn1": "_bn1"}
FIRST |= {"conv_pw": "_project_conv", "bn2": "_bn2"}
OTHERS = {"conv_pw": "_expand_conv", "bn1": "_bn0"}
OTHERS |= {"conv_dw": "_depthwise_conv", "bn2": "_bn1"}
OTHERS |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
OUTSIDE = {"conv_stem": "_conv_stem", "bn1": "_bn0"}
OUTSIDE |= {"conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}


def other_names(model: torch.nn.Module) -> dict[str, str]:
    """timm's name of each tensor -> that of the `efficientnet_pytorch` layout."""
    numbers = {}
    for stage, blocks in enumerate(model.blocks):
        for number in range(len(blocks)):
            numbers[f"blocks.{stage}.{number}"] = len(numbers)
    names = {}
    for name in model.state_dict():
        parts = name.split(".")
        if parts[0] == "blocks":
            number = numbers[".".join(parts[:3])]
            layers = OTHERS if number else FIRST
            names[name] = f"_blocks.{number}.{layers[parts[3]]}.{parts[4]}"
        else:
            names[name] = f"{OUTSIDE[parts[0]]}.{parts[1]}"
    return names


def main(folder: Path, checkpoint: Path | None = None) -> None:
    """Writes `timm.pth`, `other.pth` and `HxW.npz` with the maps."""
    model = random_model(NAME)
    names = other_names(model)
    if checkpoint is not None:
        loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
        assert set(loaded) == set(names.values())
        model.load_state_dict({ours: loaded[theirs] for ours, theirs in names.items()})
    state = model.state_dict()
    torch.save(state, folder / "timm.pth")
    torch.save({names[k]: v for k, v in state.items()}, folder / "other.pth")
    for height, width in SIZES:
        images = np.random.default_rng(height).normal(size=(2, height, width, 3))
        images = images.astype("float32")
        maps = features(model, images, LAYERS)
        np.savez(folder / f"{height}x{width}.npz", images=images, **maps)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

"""Maps the tensors of a PyTorch EfficientNet-Lite to the layers of the body.

Two layouts are public. In that of `efficientnet_pytorch`, names are like those of our
layers (`_blocks.3._expand_conv`). timm numbers blocks within their stage, and the
layers of a block in the order in which they run.
"""

from qepose_tf.models.efficientnet import STAGES

CLASSIFIER_PARTS = ("_conv_head", "_bn1", "_fc", "conv_head", "bn2", "classifier")
# The layers of timm's blocks with and without expansion.
_WIDE = {
    "conv_pw": "expand_conv",
    "bn1": "bn0",
    "conv_dw": "depthwise_conv",
    "bn2": "bn1",
    "conv_pwl": "project_conv",
    "bn3": "bn2",
}
_PLAIN = {
    "conv_dw": "depthwise_conv",
    "bn1": "bn1",
    "conv_pw": "project_conv",
    "bn2": "bn2",
}


def layer_names(tensors: dict) -> dict[str, str]:
    """Returns the names of our layers by those of the checkpoint.

    Args:
        tensors: The tensors of the checkpoint by name.
    """
    if "_conv_stem.weight" in tensors:
        names = {"_conv_stem": "conv_stem", "_bn0": "bn0"}
        for block in range(sum(stage[3] for stage in STAGES)):
            for name in _WIDE.values():
                names[f"_blocks.{block}._{name}"] = f"blocks_{block}_{name}"
        return names
    names = {"conv_stem": "conv_stem", "bn1": "bn0"}
    block = 0
    for stage, (*_, count, expansion) in enumerate(STAGES):
        layers = _WIDE if expansion > 1 else _PLAIN
        for number in range(count):
            for theirs, ours in layers.items():
                names[f"blocks.{stage}.{number}.{theirs}"] = f"blocks_{block}_{ours}"
            block += 1
    return names

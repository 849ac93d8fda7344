"""Names and shapes of the tensors in public HRNet checkpoints.

Written from the networks' structure, not from our layers.
"""

import math

import numpy as np

from qepose_tf.models.hrnet import VARIANTS


def conv(name, outputs, inputs, size, bias=False):
    """A convolution's tensors."""
    shapes = {f"{name}.weight": (outputs, inputs, size, size)}
    return {**shapes, f"{name}.bias": (outputs,)} if bias else shapes


def norm(name, channels):
    """A batch normalisation's tensors."""
    parts = ("weight", "bias", "running_mean", "running_var")
    shapes = {f"{name}.{part}": (channels,) for part in parts}
    return {**shapes, f"{name}.num_batches_tracked": ()}


def pair(name, outputs, inputs, size, bias=False):
    """A convolution and its normalisation, children 0 and 1 of a Sequential."""
    shapes = conv(f"{name}.0", outputs, inputs, size, bias)
    return {**shapes, **norm(f"{name}.1", outputs)}


def basic_block(name, channels):
    """Two 3x3 convolutions."""
    shapes = {}
    for i in (1, 2):
        shapes |= conv(f"{name}.conv{i}", channels, channels, 3)
        shapes |= norm(f"{name}.bn{i}", channels)
    return shapes


def bottleneck(name, inputs, planes):
    """1x1, 3x3 and 1x1 convolution to four times the planes."""
    shapes = {}
    sizes = ((planes, inputs, 1), (planes, planes, 3), (4 * planes, planes, 1))
    for i, size in enumerate(sizes, start=1):
        shapes |= conv(f"{name}.conv{i}", *size) | norm(f"{name}.bn{i}", size[0])
    if inputs != 4 * planes:
        shapes |= pair(f"{name}.downsample", 4 * planes, inputs, 1)
    return shapes


def fuse_row(name, target, widths):
    """What brings all branches to one of them."""
    shapes = {}
    for source, width in enumerate(widths):
        if source > target:
            shapes |= pair(f"{name}.{target}.{source}", widths[target], width, 1)
        for step in range(target - source):
            outputs = widths[target] if step == target - source - 1 else width
            shapes |= pair(f"{name}.{target}.{source}.{step}", outputs, width, 3)
    return shapes


def body(variant, multi_scale=True):
    """HRNet without a head; of one map or of all four."""
    row = VARIANTS[variant]
    widths = [row.width * 2**i for i in range(4)]
    shapes = conv("conv1", row.stem, 3, 3) | norm("bn1", row.stem)
    shapes |= conv("conv2", row.stem, row.stem, 3) | norm("bn2", row.stem)
    last = row.stem
    for block in range(row.bottlenecks):
        shapes |= bottleneck(f"layer1.{block}", last, row.bottleneck)
        last = 4 * row.bottleneck
    shapes |= pair("transition1.0", widths[0], last, 3)
    shapes |= pair("transition1.1.0", widths[1], last, 3)
    shapes |= pair("transition2.2.0", widths[2], widths[1], 3)
    shapes |= pair("transition3.3.0", widths[3], widths[2], 3)
    for stage, modules in enumerate(row.modules, start=2):
        for module in range(modules):
            name = f"stage{stage}.{module}"
            for i in range(stage):
                for block in range(row.blocks):
                    shapes |= basic_block(f"{name}.branches.{i}.{block}", widths[i])
            lone = not multi_scale and stage == 4 and module == modules - 1
            for target in range(1 if lone else stage):
                shapes |= fuse_row(f"{name}.fuse_layers", target, widths[:stage])
    return shapes


def pose_head(variant):
    """HRNet for single-person pose."""
    return conv("final_layer", 17, VARIANTS[variant].width, 1, bias=True)


def classifier(variant):
    """HRNet for ImageNet, its authors' and timm's."""
    shapes, planes = {}, (32, 64, 128, 256)
    for i, channels in enumerate(planes):
        inputs = VARIANTS[variant].width * 2**i
        shapes |= bottleneck(f"incre_modules.{i}.0", inputs, channels)
        if i:
            before = 4 * planes[i - 1]
            name = f"downsamp_modules.{i - 1}"
            shapes |= pair(name, 4 * channels, before, 3, bias=True)
    shapes |= pair("final_layer", 2048, 1024, 1, bias=True)
    return shapes | {"classifier.weight": (1000, 2048), "classifier.bias": (1000,)}


def dekr_head(variant, keypoints=17):
    """DEKR's two heads."""
    width = VARIANTS[variant].width
    inputs = 15 * width
    shapes = pair("transition_heatmap", width, inputs, 1)
    shapes |= basic_block("head_heatmap.0.0", width)
    shapes |= conv("head_heatmap.1", keypoints + 1, width, 1, bias=True)
    shapes |= pair("transition_offset", 15 * keypoints, inputs, 1)
    for k in range(keypoints):
        for block in range(2):
            name = f"offset_feature_layers.{k}.{block}"
            shapes |= conv(f"{name}.transform_matrix_conv", 4, 15, 3, bias=True)
            shapes |= conv(f"{name}.translation_conv", 2, 15, 3, bias=True)
            shapes |= conv(f"{name}.adapt_conv", 15, 15, 3) | norm(f"{name}.bn", 15)
        shapes |= conv(f"offset_final_layer.{k}", 2, 15, 1, bias=True)
    return shapes


def trainable(shapes):
    """How many parameters an optimizer would move."""
    still = ("running_mean", "running_var", "num_batches_tracked")
    return sum(
        math.prod(shape) for name, shape in shapes.items() if not name.endswith(still)
    )


def random_tensors(shapes, seed=0):
    """Values for the names; variances are positive, counters whole."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = np.asarray(5, "<i8")
        else:
            tensors[name] = rng.uniform(0.5, 1.5, shape).astype("<f4")
    return tensors

"""DEKR in PyTorch with random weights: its checkpoint, its maps, its convolution.

Written from the structure of the network, in the two forms that are public: a module
for each keypoint, as HRNet/DEKR has it, and grouped keypoints, as mmpose has them.

Run as a program, so that the test's process never holds PyTorch, which the import
must not need: `python -m tests.weights.dekr_torch FOLDER dekr:tiny:17`.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from qepose_tf.models.hrnet import VARIANTS
from tests.weights.torch_deform import TAPS, check_convolution, deform

SIZES = ((64, 64), (96, 160))
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CHANNELS = 15


def conv(inputs, outputs, size, stride=1, bias=False, groups=1):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=bias, groups=groups)


def pair(inputs, outputs, size, stride=1, relu=True):
    layers = [conv(inputs, outputs, size, stride), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class Block(nn.Module):
    """A basic block or, with `planes`, a bottleneck."""

    def __init__(self, inputs, planes=None):
        super().__init__()
        sizes = [(inputs, inputs, 3), (inputs, inputs, 3)]
        if planes:
            sizes = [(inputs, planes, 1), (planes, planes, 3), (planes, 4 * planes, 1)]
        self.count = len(sizes)
        for i, (before, after, size) in enumerate(sizes, start=1):
            setattr(self, f"conv{i}", conv(before, after, size))
            setattr(self, f"bn{i}", nn.BatchNorm2d(after))
        changes = inputs != sizes[-1][1]
        self.downsample = pair(inputs, sizes[-1][1], 1, relu=False) if changes else None

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        return (y + (self.downsample(x) if self.downsample else x)).relu()


class Module(nn.Module):
    """The blocks of each branch, then the exchange."""

    def __init__(self, widths, blocks):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self.way(widths, i, j) for j in range(len(widths)))
            for i in range(len(widths))
        )

    @staticmethod
    def way(widths, to, source):
        if source == to:
            return None
        if source > to:
            up = nn.Upsample(scale_factor=2 ** (source - to), mode="nearest")
            return nn.Sequential(*pair(widths[source], widths[to], 1, relu=False), up)
        steps = [
            pair(widths[source], widths[source], 3, 2) for _ in range(to - source - 1)
        ]
        return nn.Sequential(*steps, pair(widths[source], widths[to], 3, 2, relu=False))

    def forward(self, maps):
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        return [
            sum(way(x) if way else x for way, x in zip(row, maps, strict=True)).relu()
            for row in self.fuse_layers
        ]


class Body(nn.Module):
    """HRNet with four maps."""

    def __init__(self, row):
        super().__init__()
        self.conv1, self.bn1 = conv(3, row.stem, 3, 2), nn.BatchNorm2d(row.stem)
        self.conv2, self.bn2 = conv(row.stem, row.stem, 3, 2), nn.BatchNorm2d(row.stem)
        blocks, last = [], row.stem
        for _ in range(row.bottlenecks):
            blocks.append(Block(last, row.bottleneck))
            last = 4 * row.bottleneck
        self.layer1 = nn.Sequential(*blocks)
        widths = [row.width * 2**i for i in range(4)]
        for stage in (2, 3, 4):
            new = nn.Sequential(
                pair(last if stage == 2 else widths[stage - 2], widths[stage - 1], 3, 2)
            )
            kept = [pair(last, widths[0], 3)] if stage == 2 else [None] * (stage - 1)
            setattr(self, f"transition{stage - 1}", nn.ModuleList([*kept, new]))
            modules = [
                Module(widths[:stage], row.blocks)
                for _ in range(row.modules[stage - 2])
            ]
            setattr(self, f"stage{stage}", nn.Sequential(*modules))

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        maps = [self.layer1(x)]
        for stage in (2, 3, 4):
            *kept, new = getattr(self, f"transition{stage - 1}")
            added = new(maps[-1])
            maps = [way(x) if way else x for way, x in zip(kept, maps, strict=True)]
            maps = getattr(self, f"stage{stage}")([*maps, added])
        return maps


def concatenated(maps):
    size = maps[0].shape[2:]
    wide = [functional.interpolate(x, size, mode="bilinear") for x in maps[1:]]
    return torch.cat([maps[0], *wide], 1)


class Adaptive(nn.Module):
    """HRNet/DEKR's block, of one keypoint."""

    def __init__(self):
        super().__init__()
        self.register_buffer("regular_matrix", TAPS.clone())
        self.transform_matrix_conv = conv(CHANNELS, 4, 3, bias=True)
        self.translation_conv = conv(CHANNELS, 2, 3, bias=True)
        self.adapt_conv = conv(CHANNELS, CHANNELS, 3)
        self.bn = nn.BatchNorm2d(CHANNELS)

    def forward(self, x):
        matrix = self.transform_matrix_conv(x).unflatten(1, (2, 2))
        offset = torch.einsum("bijyx,jt->btiyx", matrix, TAPS)
        offset = offset - TAPS.T[None, :, :, None, None]
        offset = offset + self.translation_conv(x)[:, None]
        y = deform(x, offset.flatten(1, 2), self.adapt_conv.weight)
        return (self.bn(y) + x).relu()


class DEKR(Body):
    """HRNet/DEKR; its displacements go from the keypoint to the cell."""

    def __init__(self, row, keypoints):
        super().__init__(row)
        width, inputs = row.width, 15 * row.width
        self.transition_heatmap = pair(inputs, width, 1)
        self.transition_offset = pair(inputs, CHANNELS * keypoints, 1)
        self.head_heatmap = nn.ModuleList(
            [nn.Sequential(Block(width)), conv(width, keypoints + 1, 1, bias=True)]
        )
        self.offset_feature_layers = nn.ModuleList(
            nn.Sequential(Adaptive(), Adaptive()) for _ in range(keypoints)
        )
        self.offset_final_layer = nn.ModuleList(
            conv(CHANNELS, 2, 1, bias=True) for _ in range(keypoints)
        )

    def forward(self, x):
        x = concatenated(super().forward(x))
        heat = self.transition_heatmap(x)
        for layer in self.head_heatmap:
            heat = layer(heat)
        parts = self.transition_offset(x).split(CHANNELS, 1)
        layers = zip(self.offset_feature_layers, self.offset_final_layer, strict=True)
        offsets = [
            last(features(part))
            for part, (features, last) in zip(parts, layers, strict=True)
        ]
        return heat, -torch.cat(offsets, 1)


class GroupedAdaptive(nn.Module):
    """mmpose's block, of all keypoints."""

    def __init__(self, keypoints):
        super().__init__()
        channels = CHANNELS * keypoints
        matrix = torch.cat([TAPS, torch.ones(1, 9)])
        self.register_buffer("regular_matrix", matrix)
        self.transform_matrix_conv = conv(
            channels, 6 * keypoints, 3, bias=True, groups=keypoints
        )
        self.adapt_conv = conv(channels, channels, 3, groups=keypoints)
        self.norm = nn.BatchNorm2d(channels)
        self.keypoints = keypoints

    def forward(self, x):
        affine = self.transform_matrix_conv(x).unflatten(1, (self.keypoints, 2, 3))
        offset = torch.einsum("bkijyx,jt->bktiyx", affine, self.regular_matrix)
        y = deform(x, offset.flatten(1, 3), self.adapt_conv.weight)
        return (self.norm(y) + x).relu()


class ConvModule(nn.Module):
    """mmcv's convolution with normalisation."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv, self.bn = conv(inputs, outputs, 1), nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class MMPoseHead(nn.Module):
    """mmpose's heads; displacements go from the cell to the keypoint."""

    def __init__(self, row, keypoints):
        super().__init__()
        width, inputs, channels = row.width, 15 * row.width, CHANNELS * keypoints
        self.heatmap_conv_layers = nn.Sequential(
            ConvModule(inputs, width),
            Block(width),
            conv(width, keypoints + 1, 1, bias=True),
        )
        self.displacement_conv_layers = nn.Sequential(
            ConvModule(inputs, channels),
            GroupedAdaptive(keypoints),
            GroupedAdaptive(keypoints),
            conv(channels, 2 * keypoints, 1, bias=True, groups=keypoints),
        )
        self.rescore_net = nn.ModuleDict(
            {"l1": nn.Linear(74, 256), "l2": nn.Linear(256, 256)}
        )

    def forward(self, x):
        return self.heatmap_conv_layers(x), self.displacement_conv_layers(x)


class MMPose(nn.Module):
    """mmpose's body and head."""

    def __init__(self, row, keypoints):
        super().__init__()
        self.backbone, self.head = Body(row), MMPoseHead(row, keypoints)

    def forward(self, x):
        return self.head(concatenated(self.backbone(x)))


FORMS = {"dekr": DEKR, "mmpose": MMPose}


def random_model(form, variant, keypoints):
    """A model whose statistics are near those of its features, and whose taps move."""
    torch.manual_seed(7)
    model = FORMS[form](VARIANTS[variant], keypoints)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        model.train()(torch.randn(2, 3, 64, 96))
        for norm in norms:
            norm.weight.uniform_(0.5, 1.0)
            norm.bias.normal_(0.0, 0.2)
            norm.running_mean.add_(0.2 * torch.randn_like(norm.running_mean))
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.8, 1.5))
    return model.eval()


def write(form, variant, keypoints, folder: Path):
    """Writes the checkpoint and `HxW.npz` with images and maps."""
    folder.mkdir(exist_ok=True)
    model = random_model(form, variant, int(keypoints))
    torch.save(model.state_dict(), folder / "dekr.pth")
    for height, width in SIZES:
        rng = np.random.default_rng(height)
        images = rng.uniform(0, 255, (2, height, width, 3)).astype("float32")
        normal = ((images - MEAN) / STD).astype("float32")
        with torch.no_grad():
            maps = model(torch.from_numpy(normal).permute(0, 3, 1, 2))
        heat, displacements = (x.permute(0, 2, 3, 1).numpy() for x in maps)
        np.savez(
            folder / f"{height}x{width}.npz",
            images=images,
            heat=heat,
            displacements=displacements.reshape(*heat.shape[:3], -1, 2),
        )


def main(folder: Path, *models):
    """Writes each model, given as `dekr:tiny:17`, to `FOLDER/dekr_tiny`."""
    check_convolution()
    for form, variant, keypoints in (model.split(":") for model in models):
        write(form, variant, keypoints, folder / f"{form}_{variant}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

"""Imports public checkpoints of DEKR as whole models."""

import logging
from pathlib import Path

import keras
import numpy as np

from qepose_tf.files.whole_files import whole, writable_folder
from qepose_tf.models.dekr import DEKR
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.weights.dekr_layouts import LAYOUTS, Layout, Sizes, Tensors
from qepose_tf.weights.importing import ImportReport
from qepose_tf.weights.matching import WIDTH, match_tensors, without_prefix
from qepose_tf.weights.state_dict import Checkpoint, names_of, read_checkpoint

logger = logging.getLogger(__name__)

SUFFIX = ".keras"
# The data sets that the projects published weights of, by their keypoints.
SKELETONS = {17: "coco", 14: "crowdpose"}
# The sides in px of the crops that they were trained with, by the width of the body.
INPUT_SIZES = {48: 640}
DEFAULT_INPUT_SIZE = 512


def import_dekr(
    checkpoint: str | Path, out: str | Path | None = None
) -> tuple[DEKR, ImportReport]:
    """Builds a `DEKR` from a public checkpoint of HRNet/DEKR or mmpose.

    The width of the body and the skeleton are recognised from the shapes of the
    tensors. No code in the checkpoint is executed.

    Args:
        checkpoint: A file of `torch.save` or safetensors.
        out: A file to write the model to, with a name that ends in `.keras`. With None,
            no file is written.

    Returns:
        The model, and a report on which tensors were imported.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: The checkpoint is not of a DEKR that is known. The message names
            the tensor.

    Example:
        >>> model, report = import_dekr("dekr.pth", "dekr.keras")  # doctest: +SKIP
        >>> model.backbone_name, report.unused  # doctest: +SKIP
    """
    if out is not None:
        if not str(out).endswith(SUFFIX):
            raise ValueError(f"{out}: expected a file name that ends in {SUFFIX}")
        writable_folder(Path(out).parent)
    read = read_checkpoint(checkpoint)
    try:
        model, report = _built(str(checkpoint), read)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from None
    for line in report.lines():
        logger.info(line)
    if out is not None:
        with whole(out) as temporary:
            model.save(temporary)
    return model, report


def _built(checkpoint: str, read: Checkpoint) -> tuple[DEKR, ImportReport]:
    inner, outer = without_prefix(read.tensors)
    layout, heads = _heads(inner, outer)
    sizes = _sizes(layout, inner, heads)
    variant = {row.width: name for name, row in VARIANTS.items()}[sizes.width]
    model = DEKR(
        SKELETONS[sizes.keypoints],
        backbone=variant,
        input_size=INPUT_SIZES.get(sizes.width, DEFAULT_INPUT_SIZE),
        head={
            "heatmap_channels": sizes.heatmap_channels,
            "keypoint_channels": sizes.channels,
            "adaptive_blocks": sizes.blocks,
        },
        decoder={"protocol": layout.protocol},
    )
    body = match_tensors(read.tensors, model.body)
    tensors = Tensors(heads)
    values = [*body.values, *_head_values(tensors, layout, sizes, model)]
    taken = {name.split(".")[0] for name in heads}
    unused = {group: n for group, n in body.unused.items() if group not in taken}
    for group, names in tensors.groups().items():
        unused[group] = unused.get(group, []) + names
    if body.kept:
        raise ValueError(f"lacks tensors that DEKR's body needs: {names_of(body.kept)}")
    for variable, value in values:
        variable.assign(value)
    report = ImportReport(
        checkpoint=checkpoint,
        source=f"{layout.source}, {model.skeleton.name}",
        backbone=variant,
        tensors_used=len(body.values) + len(tensors.used),
        parameters=sum(value.size for _, value in values),
        unused=unused,
        kept_at_initial=[],
        others=read.others,
    )
    return model, report


def _heads(inner: dict, outer: dict) -> tuple[Layout, dict[str, np.ndarray]]:
    """Returns the layout of the heads, and their tensors without a prefix."""
    outer = {name.removeprefix("module."): value for name, value in outer.items()}
    for layout in LAYOUTS:
        place = inner if layout.source == "DEKR" else outer
        if any(name.startswith(f"{layout.marker}.") for name in place):
            parts = {name.split(".")[0] for name in (*layout.heat, *layout.offset)}
            parts |= {layout.marker.split(".")[0], "offset_final_layer", "rescore_net"}
            return layout, {n: v for n, v in place.items() if n.split(".")[0] in parts}
    markers = [layout.marker for layout in LAYOUTS]
    raise ValueError(
        f"expected the heads of DEKR (tensors that begin with {', '.join(markers)}), "
        "found none; for the weights of a backbone alone, name a file that ends in "
        ".weights.h5"
    )


def _sizes(layout: Layout, inner: dict, heads: dict) -> Sizes:
    """Reads the sizes of the network from the shapes of three tensors."""
    last, first = f"{layout.heat[3]}.weight", f"{layout.offset[0]}.weight"
    for name, tensors in ((WIDTH, inner), (last, heads), (first, heads)):
        if name not in tensors or tensors[name].ndim != 4:
            raise ValueError(f"expected a DEKR, but it has no convolution {name}")
    width = inner[WIDTH].shape[0]
    maps, heatmap_channels = heads[last].shape[:2]
    widths = {row.width: name for name, row in VARIANTS.items()}
    if width not in widths:
        raise ValueError(
            f"this looks like w{width}, expected a body of {', '.join(VARIANTS)} "
            f"({WIDTH} has {width} channels)"
        )
    keypoints = maps - 1
    if keypoints not in SKELETONS:
        known = " or ".join(f"{k} ({name})" for k, name in SKELETONS.items())
        raise ValueError(f"expected {known} keypoints, {last} has {keypoints}")
    channels, rest = divmod(heads[first].shape[0], keypoints)
    if rest:
        raise ValueError(
            f"{first} has {heads[first].shape[0]} channels, expected a multiple of "
            f"the {keypoints} keypoints"
        )
    return Sizes(width, heatmap_channels, keypoints, channels)


def _head_values(
    tensors: Tensors, layout: Layout, sizes: Sizes, model: DEKR
) -> list[tuple[keras.Variable, np.ndarray]]:
    """Returns the variables of the heads and their new values."""
    conv, norm, block, last = layout.heat
    wide, inputs = sizes.heatmap_channels, 15 * sizes.width
    values: list[tuple[keras.Variable, np.ndarray]] = []

    def layer(name: str, arrays: dict[str, np.ndarray]) -> None:
        found = model.get_layer(name)
        values.extend((getattr(found, key), value) for key, value in arrays.items())

    def convolution(name: str, theirs: str, *shape: int) -> None:
        kernel = tensors.take(f"{theirs}.weight", *shape)
        layer(name, {"kernel": kernel.transpose(2, 3, 1, 0)})

    convolution("transition_heatmap_0", conv, wide, inputs, 1, 1)
    layer("transition_heatmap_1", tensors.norm(norm, wide))
    for i in (1, 2):
        name = f"head_heatmap_0_0_conv{i}"
        convolution(name, f"{block}.conv{i}", wide, wide, 3, 3)
        layer(f"head_heatmap_0_0_bn{i}", tensors.norm(f"{block}.bn{i}", wide))
    maps = sizes.keypoints + 1
    kernel = tensors.take(f"{last}.weight", maps, wide, 1, 1)[:, :, 0, 0].T
    bias = tensors.take(f"{last}.bias", maps)
    if layout.centre_first:
        kernel, bias = np.roll(kernel, -1, axis=1), np.roll(bias, -1)
    layer("head_heatmap_1", {"kernel": kernel, "bias": bias})

    conv, norm = layout.offset
    features = sizes.keypoints * sizes.channels
    convolution("transition_offset_0", conv, features, inputs, 1, 1)
    layer("transition_offset_1", tensors.norm(norm, features))
    for number, adaptive in enumerate(model.encoding.convolutions):
        for part, arrays in layout.block(tensors, sizes, number).items():
            found = getattr(adaptive, part)
            values.extend((getattr(found, key), array) for key, array in arrays.items())
    kernel, bias = layout.last(tensors, sizes)
    kernel = kernel[..., 0, 0].transpose(0, 2, 1)
    offset = model.encoding.offset
    values += [(offset.kernel, layout.sign * kernel), (offset.bias, layout.sign * bias)]
    return values

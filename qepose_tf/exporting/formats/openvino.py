"""Writes OpenVINO IR: `pose.xml`, `pose.bin` and `pose.json` in a folder.

On CPUs with bfloat16, OpenVINO computes a float32 file in bfloat16 by default, and no
option in a file prevents this. The 8 bits of bfloat16's significand are too few for a
coordinate, so every operation that must be exact has an attribute that says so. The CPU
plugin honours the attribute unless it replaces the operation by others, so operations
that it would replace are rewritten here. Plugins before OpenVINO 2026.4 also fuse
element-wise operations without these attributes. With them, only the option
`INFERENCE_PRECISION_HINT: f32` of `compile_model` gives exact coordinates.
"""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

from qepose_tf.exporting.pose_json import FILE
from qepose_tf.exporting.served_graph import OUTPUTS

PRECISIONS = ("fp32", "fp16", "bf16")
MODEL = "pose.xml"
# The older and the newer name of the attribute that keeps an operation in float32.
EXACT = (
    {"name": "precise", "version": "0"},
    {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16"},
)
# The operations of the body and of the branches after it, up to the first MatMul.
BODY = ("Convolution", "Relu", "Add", "Multiply", "Interpolate", "Pad", "Concat")
POSE_QUERY = "pose_query_encoding"  # the layer's name in `models.head`


def write_openvino(source: Path, folder: Path, metadata: dict, precision: str) -> None:
    """Converts a SavedModel of a fixed size to an OpenVINO folder.

    Args:
        source: The folder of the SavedModel, see `write_fixed_graph`.
        folder: The folder to write, which is made if it does not exist.
        metadata: The content of `pose.json`.
        precision: `fp32`; `fp16`, with weights of half the size and computation in
            float32; or `bf16`, which also computes the features (convolutions and the
            products of the score) in bfloat16 on CPUs that have it.

    Raises:
        ValueError: There is no such precision, or OpenVINO cannot convert the model.
        ImportError: OpenVINO is not installed.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"OpenVINO: expected a precision of {', '.join(PRECISIONS)}, "
            f"got {precision!r}"
        )
    openvino = import_openvino()
    model = _read(openvino, source)
    rounded = _features(model) if precision == "bf16" else set()
    _keep_marks(model, rounded)
    if precision != "fp32":
        _halve_weights(model, "bf16" if precision == "bf16" else "f16")
    folder.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, str(folder / MODEL), compress_to_fp16=False)
    _mark(folder / MODEL, rounded)
    text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
    (folder / FILE).write_text(text, encoding="utf-8")


def import_openvino() -> ModuleType:
    """Imports OpenVINO without its telemetry.

    The import of OpenVINO sends an event through `openvino_telemetry`. None in
    `sys.modules` tells Python that this module cannot be imported, and OpenVINO does
    not need it.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    # The annotation of `sys.modules` has modules only.
    sys.modules.setdefault("openvino_telemetry", None)  # ty: ignore[no-matching-overload]
    try:
        import openvino
    except ImportError as error:
        raise ImportError(
            "OpenVINO is not installed: pip install 'qepose-tf[openvino]'"
        ) from error
    return openvino


def _read(openvino: ModuleType, source: Path) -> Any:
    """Returns the converted and simplified model, with outputs in their order."""
    from openvino._offline_transformations import apply_moc_transformations

    try:
        # `convert_model` would send telemetry.
        model = openvino.Core().read_model(str(source))
        results = {result.output(0).any_name: result for result in model.get_results()}
        model = openvino.Model(
            [results[name] for name in OUTPUTS if name in results],
            model.get_parameters(),
            "pose",
        )
        # This folds normalisations into convolutions, which keep their attributes.
        apply_moc_transformations(model, cf=True, smart_reshape=False)
    except RuntimeError as error:
        raise ValueError(
            f"OpenVINO cannot convert the model: {_reason(error)}"
        ) from error
    return model


def _reason(error: RuntimeError) -> str:
    """Joins the lines of OpenVINO's message that are about the model."""
    where = ("Exception from ", "Check '", "FrontEnd API failed", "To facilitate")
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(where)]
    return " ".join(told) or str(error).strip() or type(error).__name__


def _is_constant(value: Any) -> bool:
    return value.get_node().get_type_name() == "Constant"


def _is_float(value: Any) -> bool:
    return value.get_element_type().get_type_name() == "f32"


def _name(value: Any) -> str:
    return value.get_node().get_friendly_name()


def _features(model: Any) -> set[str]:
    """Returns the names of operations whose values are features.

    Features lie between the first convolution and the first MatMul, and all coordinates
    and scores come after a MatMul. The features that the score samples also pass the
    layer of the pose query, where they are projected, gathered, added and normalised,
    up to the MatMul of the score.
    """
    found = set()
    for node in model.get_ordered_ops():
        kind, name = node.get_type_name(), node.get_friendly_name()
        inputs = [value for value in node.input_values() if not _is_constant(value)]
        if not inputs or not _is_float(node.output(0)):
            continue
        if kind in (*BODY, "Transpose"):
            first = not found and kind == "Convolution"
            if first or all(_name(value) in found for value in inputs):
                found.add(name)
        elif POSE_QUERY in name and kind in ("MatMul", "Reshape", "Gather"):
            # The features of a MatMul are the last of its inputs without the weights.
            features = inputs[-1] if kind == "MatMul" else inputs[0]
            if _name(features) in found:
                found.add(name)
    return found


def _keep_marks(model: Any, rounded: set[str]) -> None:
    """Rewrites operations that plugins would replace by others without attributes."""
    for node in model.get_ordered_ops():
        if node.get_friendly_name() in rounded or not _is_float(node.output(0)):
            continue
        if node.get_type_name() == "Interpolate":
            _to_older_resize(node)
        elif node.get_type_name() in ("Add", "Subtract", "Multiply", "Minimum"):
            _widen_scalars(node)
    model.validate_nodes_and_infer_types()


def _widen_scalars(node: Any) -> None:
    """Repeats a single number along an axis.

    A plugin moves an operation with a single number before a reshape, turns it into a
    clamp, or fuses it into a MatMul as the bias of one channel.
    """
    from openvino import opset13

    shape = list(node.get_output_shape(0))
    for position, value in enumerate(node.input_values()):
        if max(shape, default=1) == 1 or not _is_constant(value):
            continue
        number = value.get_node().data
        if number.size == 1:
            longest = int(np.argmax(shape))
            wide = [side if axis == longest else 1 for axis, side in enumerate(shape)]
            filled = opset13.constant(np.full(wide, number.item(), np.float32))
            node.input(position).replace_source_output(filled.output(0))


def _to_older_resize(node: Any) -> None:
    """Replaces a resize of `[B, H, W, C]` by the plugins' own, of `[B, C, H, W]`."""
    from openvino import opset13
    from openvino.utils.node_factory import NodeFactory

    name = node.get_friendly_name()
    maps = node.input_value(0)
    sides, old_sides = (list(v.get_shape())[1:3] for v in (node.output(0), maps))
    planes = opset13.transpose(maps, np.array([0, 3, 1, 2]), name=f"{name}/planes")
    arguments = (
        np.array(sides, np.int64),
        np.divide(sides, old_sides).astype(np.float32),
        np.array([2, 3], np.int64),
    )
    resized = NodeFactory("opset4").create(
        "Interpolate",
        [planes.output(0), *(opset13.constant(a).output(0) for a in arguments)],
        node.get_attributes(),
    )
    resized.set_friendly_name(f"{name}/resized")
    back = opset13.transpose(resized, np.array([0, 2, 3, 1]), name=name)
    for target in list(node.output(0).get_target_inputs()):
        target.replace_source_output(back.output(0))


def _halve_weights(model: Any, kind: str) -> None:
    """Stores the weights of convolutions, which are nearly all weights, in 16 bits."""
    from openvino import Type, opset13

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        value = node.input_value(1)
        if _is_constant(value):
            weights = value.get_node().data
            if kind == "bf16":
                weights = _nearest_bf16(weights)
            half = opset13.constant(weights, getattr(Type, kind))
            whole = opset13.convert(half, "f32")
            node.input(1).replace_source_output(whole.output(0))


def _nearest_bf16(values: np.ndarray) -> np.ndarray:
    """Rounds to the nearest bfloat16 numbers; OpenVINO itself truncates."""
    return values.astype(ml_dtypes.bfloat16).astype(np.float32)


def _mark(file: Path, rounded: set[str]) -> None:
    """Gives every operation of an IR file, except the features, the exact attribute.

    The file is edited, because OpenVINO's Python API cannot add attributes to nodes.
    """
    tree = ET.parse(file)
    for layer in tree.iter("layer"):
        if layer.get("type") in ("Const", "Parameter", "Result"):
            continue
        if layer.get("name") in rounded:
            continue
        info = layer.find("rt_info")
        if info is None:
            info = ET.Element("rt_info")
            layer.insert(int(layer.find("data") is not None), info)
        for attribute in EXACT:
            ET.SubElement(info, "attribute", attribute)
    tree.write(file, encoding="utf-8", xml_declaration=True)

"""Writes ONNX files, whose metadata hold `pose.json`."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qepose_tf.exporting.pose_json import FILE
from qepose_tf.exporting.served_graph import OUTPUTS

OPSET = 18
# These are five of tf2onnx' twelve rewritings; runtimes do the others better. All of
# them, each on a copy of the graph, take four times as long for HRNet-W32.
_REWRITINGS = (
    "optimize_transpose",
    "fold_constants",
    "merge_duplication",
    "remove_identity",
    "remove_back_to_back",
)


def write_onnx(source: Path, file: Path, metadata: dict) -> None:
    """Converts a SavedModel of a fixed size to an ONNX file.

    Its input is `images`, and its outputs are in the order of `served_graph.OUTPUTS`.

    Args:
        source: The folder of the SavedModel, see `write_fixed_graph`.
        file: The file to write.
        metadata: The content of `pose.json`, which becomes a property of this name.

    Raises:
        ValueError: tf2onnx cannot convert the model.
        ImportError: onnx, onnxruntime or tf2onnx is not installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401, it runs the file afterwards
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{error.name} is not installed: pip install 'qepose-tf[onnx]'"
        ) from error
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        model = _convert(source)
        _replace_deprecated(model)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # tf2onnx has no error class of its own
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise ValueError(f"ONNX: tf2onnx cannot convert the model: {reason}") from error
    finally:
        logger.setLevel(level)
    text = json.dumps(metadata, ensure_ascii=False)
    onnx.helper.set_model_props(model, {FILE: text})
    onnx.save(model, str(file))


def _convert(source: Path) -> Any:
    """Returns the signature `serving_default` as a `ModelProto`."""
    import tensorflow as tf
    from tf2onnx import optimizer, tf_loader, tfonnx

    graph_def, inputs, outputs, renamed = tf_loader.from_saved_model(
        str(source),
        None,
        None,
        tag="serve",
        signatures=["serving_default"],
        return_tensors_to_rename=True,
    )
    names = {name: tensor for tensor, name in renamed.items()}
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            opset=OPSET,
            input_names=inputs,
            output_names=_ordered(names, outputs),
            tensors_to_rename=renamed,
        )
    rewritings = optimizer._get_optimizers()
    chosen = {name: rewritings[name] for name in _REWRITINGS if name in rewritings}
    # With catch_errors, tf2onnx would copy the graph before each rewriting.
    converted = optimizer.optimize_graph(
        converted, catch_errors=False, optimizers=chosen
    )
    return converted.make_model("pose")


def _replace_deprecated(model: Any) -> None:
    """Replaces a resize mode of tf2onnx that opset 13 no longer has.

    Runtimes warn of this mode.
    """
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.s == b"tf_half_pixel_for_nn":
                attribute.s = b"asymmetric"  # equal if the factor is a whole number


def _ordered(names: dict[str, str], outputs: Sequence[str]) -> list[str]:
    """Returns the tensors of the outputs in the order of `OUTPUTS`."""
    missing = [name for name in OUTPUTS if names.get(name) not in outputs]
    if missing:
        raise ValueError(f"expected outputs {', '.join(missing)}, got {list(names)}")
    return [names[name] for name in OUTPUTS]

"""Writes TFLite files of built-in operations in four precisions."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from qepose_tf.exporting import pose_json as metadata
from qepose_tf.exporting.formats.tflite_eight_bits import quantised


def write_tflite(
    source: Path,
    file: Path,
    described: dict,
    precision: str,
    calibration: Sequence[np.ndarray] | None = None,
) -> None:
    """Converts a fixed graph to a TFLite file.

    Its signature `serving_default` takes `images` and returns the outputs by name.

    Args:
        source: The folder of the SavedModel, see `write_fixed_graph`.
        file: The file to write.
        described: The content of `pose.json`. It is appended to the file as a zip
            archive, as is usual for files that belong to a TFLite file, so that any zip
            program can read it.
        precision: `fp32`; `fp16`, with weights of half the size; `dynamic`, with
            eight-bit weights and activations that are quantised at run time; or
            `int8`, where the convolutions of body and head compute in eight bits.
        calibration: For `int8`, uint8 batches of the file's input size, which show the
            range of each activation.

    Raises:
        ValueError: An operation is not one of TFLite's built-in operations.
        ImportError: ai-edge-quantizer, which eight bits need, is not installed.
    """
    content = _converted(source, half=precision == "fp16")
    if precision in ("dynamic", "int8"):
        content = quantised(content, calibration if precision == "int8" else None)
    file.write_bytes(content)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(metadata.FILE, json.dumps(described, indent=2))


def _converted(source: Path, half: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(source), signature_keys=["serving_default"]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    try:
        return converter.convert()
    except Exception as error:  # the converter's error class is not public
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"TFLite cannot convert the model: {reason}") from error

"""TFLite files of built-in operations, in four precisions."""

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

    Its signature `serving_default` takes `images` and gives the outputs by name.

    Args:
        source: folder of `write_fixed_graph`.
        file: to write.
        described: `metadata.describe`; appended to the file as a zip archive, as TFLite
            keeps associated files, so that any zip program reads it.
        precision: `fp32`; `fp16`, half-size weights; `dynamic`, eight-bit weights and
            activations that are quantised as they come; or `int8`, where the
            convolutions of body and head compute in eight bits.
        calibration: uint8 batches as the file takes them, which say what range each
            activation has; for `int8`.

    Raises:
        ValueError: an operation has no built-in TFLite form.
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
    except Exception as error:  # the converter has an error class of its own
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"TFLite cannot convert the model: {reason}") from error

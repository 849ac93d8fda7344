"""Quantises TFLite files to eight bits, but for the coordinates.

The convolutions of the body and the head take most of the time, and eight bits are
enough for them. All values after the displacements are positions in the image, which
eight bits over 512 px would round to 2 px. Therefore, the recipe lists the operations
that are quantised. Scores and displacements stay in float32.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

SIGNATURE = "serving_default"
# The scope of a layer in the graph, where a number may follow a name.
_LAYERS = r"pose_estimator(_\d+)?/({})(_\d+)?/"
_DENSE = _LAYERS.format(r"body|upsample_\d|general_feature|instance_\w+")
_KEYPOINT_FEATURES = _LAYERS.format("keypoint_query") + r"(Relu|representation)"
_DENSE_OPERATIONS = (
    "CONV_2D",
    "ADD",
    "PAD",
    "RESIZE_NEAREST_NEIGHBOR",
    "RESIZE_BILINEAR",
    "CONCATENATION",
)


def quantised(content: bytes, calibration: Sequence[np.ndarray] | None) -> bytes:
    """Quantises a TFLite file to eight bits.

    Args:
        content: The content of the float32 file.
        calibration: uint8 batches of the file's input size, which show the ranges of
            the activations. With None, activations are quantised at run time (dynamic
            range).

    Returns:
        The content of the quantised file.

    Raises:
        ImportError: ai-edge-quantizer is not installed.
    """
    try:
        from ai_edge_quantizer import quantizer
        from ai_edge_quantizer.calibrator import CalibrationMode
        from ai_edge_quantizer.qtyping import TFLOperationName
    except ImportError as error:
        raise ImportError(
            "ai-edge-quantizer is not installed: pip install 'qepose-tf[litert]'"
        ) from error

    work = quantizer.Quantizer(content)
    if calibration is None:
        for pattern in (_DENSE, _KEYPOINT_FEATURES):
            work.add_dynamic_config(pattern, TFLOperationName.CONV_2D, 8)
        return _result(work, None)
    for operation in _DENSE_OPERATIONS:
        work.add_static_config(_DENSE, TFLOperationName(operation), 8, 8)
    work.add_static_config(_KEYPOINT_FEATURES, TFLOperationName.CONV_2D, 8, 8)
    samples = [{"images": images} for images in calibration]
    with _quiet():
        ranges = work.calibrate(
            {SIGNATURE: samples},
            num_threads=os.cpu_count() or 1,
            # The other mode would read tensors of a loop's body, which no longer exist.
            mode=CalibrationMode.CALIBRATION_PROFILER_BASED,
        )
    return _result(work, ranges)


def _result(work: Any, ranges: Any) -> bytes:
    with _quiet():
        done = work.quantize(ranges, enable_progress_report=False)
    return bytes(done.quantized_model)


@contextlib.contextmanager
def _quiet() -> Generator[None, None, None]:
    """Hides progress bars and a warning about the memory of intermediate tensors."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning: Enabling `experimental_pre")
        yield

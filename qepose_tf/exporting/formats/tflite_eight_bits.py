"""Eight-bit TFLite files, whose coordinates stay in float32.

The convolutions of the body and the head are where the time goes, and they bear eight
bits. From the displacements on, everything is a place in the image: eight bits over
512 px would round it to two pixels. So the recipe names what is quantised, and the
rest stays as it is; the score and the displacements are in no quantised tensor.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

SIGNATURE = "serving_default"
# Where a layer is in the graph; a name that is taken gets a number there.
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
    """An eight-bit TFLite file.

    Args:
        content: the float32 file.
        calibration: batches as the file takes them, whose activations give the ranges
            of full integers. None leaves activations in float32, quantised as they
            come (dynamic range).

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
            # The other mode reads tensors of the loop's body, which are gone by then.
            mode=CalibrationMode.CALIBRATION_PROFILER_BASED,
        )
    return _result(work, ranges)


def _result(work: Any, ranges: Any) -> bytes:
    with _quiet():
        done = work.quantize(ranges, enable_progress_report=False)
    return bytes(done.quantized_model)


@contextlib.contextmanager
def _quiet() -> Generator[None, None, None]:
    """Hides progress bars, and a warning that intermediate tensors take memory."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning: Enabling `experimental_pre")
        yield

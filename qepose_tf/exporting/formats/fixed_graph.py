"""The graph that TFLite, ONNX and OpenVINO files are converted from."""

import functools
from pathlib import Path

import tensorflow as tf

from qepose_tf.exporting.frozen import Frozen, write_signatures
from qepose_tf.exporting.served_graph import detect
from qepose_tf.models.pose_estimator import PoseEstimator

SIDE_MULTIPLE = 32


def check_sides(height: int, width: int, batch: int) -> None:
    """Raises `ValueError` where the network cannot take images of that size."""
    if min(height, width, batch) < 1 or height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
        raise ValueError(
            f"expected sides that are multiples of {SIDE_MULTIPLE} and a batch of at "
            f"least 1, got height {height}, width {width} and batch {batch}"
        )


def write_fixed_graph(
    model: PoseEstimator, folder: Path, height: int, width: int, batch: int
) -> None:
    """Writes a SavedModel of images `[batch, height, width, 3]`; nothing is resized.

    Args:
        model: in float32.
        folder: to write.
        height: of the images, a multiple of 32.
        width: of the images, a multiple of 32.
        batch: images at once.
    """
    images = tf.TensorSpec((batch, height, width, 3), tf.uint8, name="images")

    serve = Frozen.of(functools.partial(detect, model), images)
    # A converter that starts from the function itself loses the outputs' names.
    write_signatures(str(folder), serving_default=(serve, images))

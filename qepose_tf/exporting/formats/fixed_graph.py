"""Writes the graph that TFLite, ONNX and OpenVINO files are converted from."""

import functools
from pathlib import Path

import tensorflow as tf

from qepose_tf.exporting.frozen import Frozen, write_signatures
from qepose_tf.exporting.served_graph import detect
from qepose_tf.models.pose_model import PoseModel

SIDE_MULTIPLE = 32


def check_sides(height: int, width: int, batch: int) -> None:
    """Raises an error if the network cannot take images of a size.

    Args:
        height: The height of the images in px.
        width: The width of the images in px.
        batch: The number of images in a batch.

    Raises:
        ValueError: A side is not a multiple of 32, or the batch is empty.
    """
    if min(height, width, batch) < 1 or height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
        raise ValueError(
            f"expected sides that are multiples of {SIDE_MULTIPLE} and a batch of at "
            f"least 1, got height {height}, width {width} and batch {batch}"
        )


def write_fixed_graph(
    model: PoseModel, folder: Path, height: int, width: int, batch: int
) -> None:
    """Writes a SavedModel that takes images of one size and does not resize them.

    Args:
        model: A model in float32.
        folder: The folder to write.
        height: The height of the images in px, a multiple of 32.
        width: The width of the images in px, a multiple of 32.
        batch: The number of images in a batch.
    """
    images = tf.TensorSpec((batch, height, width, 3), tf.uint8, name="images")

    serve = Frozen.of(functools.partial(detect, model), images)
    # Converters that start from the function itself lose the names of the outputs.
    write_signatures(str(folder), serving_default=(serve, images))

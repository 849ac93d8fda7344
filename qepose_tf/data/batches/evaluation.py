"""Whole images as tf.data batches, to be looked for people in."""

import logging

import numpy as np
import tensorflow as tf

from qepose_tf.data.batches.epoch_order import deterministic
from qepose_tf.data.batches.example import read_record_picture
from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.images.letterbox import capped_short_side, letterbox
from qepose_tf.ops.geometry import fit_short_side

logger = logging.getLogger(__name__)


def eval_dataset(
    coco: CocoDataset,
    *,
    input_size: int,
    batch_size: int,
    fill: np.ndarray,
    multiple: int = 64,
    strict: bool = False,
) -> tf.data.Dataset:
    """Whole images, letterboxed, in batches of one padded shape.

    A point goes back to the original by `letterbox.original_points`. A strip is shrunk
    to `letterbox.MAX_ASPECT`. An image that cannot be read is left out with a warning.

    Args:
        coco: The data set.
        input_size: Short side in pixels.
        batch_size: B; the last batch of each shape is smaller.
        fill: `[3]`, RGB of what lies outside of an image: the model's mean colour.
        multiple: Both padded sides are multiples of it.
        strict: Make an unreadable image an error (TensorFlow's own, while iterating).

    Returns:
        Batches of "image" `[B, H, W, 3]` float32 in 0..255, "image_id" `[B]` int64 and
        "scale" `[B, 2]` float32 (x, y).
    """
    sides = [capped_short_side(r.height, r.width, input_size) for r in coco.records]
    shapes = [
        fit_short_side(record.height, record.width, side, multiple)[1]
        for record, side in zip(coco.records, sides, strict=True)
    ]
    order = sorted(range(len(shapes)), key=lambda row: (shapes[row], row))
    skipped: list[int] = []

    def read(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        record = coco.records[int(row)]
        try:
            image = np.array(read_record_picture(record))
        except (OSError, ValueError) as error:
            if strict:
                raise
            skipped.append(record.image_id)
            logger.warning(
                "%s; it gets no poses (%d left out so far)", error, len(skipped)
            )
            return np.zeros((0, 0, 3), np.float32), np.ones(2, np.float32)
        return letterbox(image, sides[int(row)], fill, multiple)

    def load(row: tf.Tensor) -> dict[str, tf.Tensor]:
        image, scale = tf.numpy_function(read, [row], [tf.float32, tf.float32])
        return {
            "image": tf.ensure_shape(image, [None, None, 3]),
            "image_id": tf.gather(image_ids, row),
            "scale": tf.ensure_shape(scale, [2]),
        }

    def shape_key(example: dict[str, tf.Tensor]) -> tf.Tensor:
        height, width = tf.unstack(tf.shape(example["image"], tf.int64)[:2])
        return height * 2**31 + width

    image_ids = tf.constant([record.image_id for record in coco.records], tf.int64)
    dataset = tf.data.Dataset.from_tensor_slices(np.array(order, np.int64))
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.filter(lambda example: tf.size(example["image"]) > 0)
    dataset = dataset.group_by_window(
        shape_key, lambda _, window: window.batch(batch_size), window_size=batch_size
    )
    return deterministic(dataset.prefetch(tf.data.AUTOTUNE))

"""SavedModel export."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from qepose_tf.exporting.atomic import check_free, written_whole
from qepose_tf.exporting.serving import (
    detect_any_size,
    float32_model,
    serving_module,
)
from qepose_tf.exporting.verify import (
    Comparison,
    compare,
    keras_any_size,
    made_image,
    saved_model_detector,
)
from qepose_tf.models.pose_estimator import PoseEstimator

MARKER = "saved_model.pb"


def export_saved_model(
    model: PoseEstimator,
    path: str | Path,
    overwrite: bool = False,
    images: Sequence[np.ndarray] | None = None,
) -> Comparison:
    """Writes a SavedModel, reloads it and compares its poses with the model's.

    Its signature `serving_default` takes `images`, uint8 RGB `[B, H, W, 3]` of any
    size, and gives `poses` `[B, P, K, 2]` in pixels of these images, `scores`
    `[B, P]`, `keypoint_scores` `[B, P, K]` and `cells` `[B, P, 2]` (see `serving`).
    `tf.saved_model.load` is all it needs.

    Args:
        model: to export; it is written in float32.
        path: of the folder to write; it appears when the comparison has passed.
        overwrite: whether a SavedModel at `path` is replaced.
        images: `[H, W, 3]` uint8 to compare on; made ones by default.

    Returns:
        How far the reloaded file is from the Keras model.

    Raises:
        FileExistsError: `path` exists and may not be replaced.
        ValueError: the reloaded file does not give the model's poses.
    """
    path = Path(path)
    check_free(path, overwrite, MARKER)
    model = float32_model(model)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")],
        autograph=False,
    )
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return detect_any_size(model, images)

    module = serving_module(model)
    with written_whole(path, overwrite, MARKER) as folder:
        tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
        batches = _made_batches(model.input_size)
        if images is not None:
            batches = [image[None] for image in images]
        expected, actual = keras_any_size(model), saved_model_detector(folder)
        comparison = compare(
            [expected(batch) for batch in batches],
            [actual(batch) for batch in batches],
        )
        comparison.check("the SavedModel")
    return comparison


def _made_batches(side: int) -> list[np.ndarray]:
    """A batch at the network's own size, and an image that must be resized."""
    own = [made_image(side, side + side // 4, seed) for seed in (0, 1)]
    return [np.stack(own), made_image(side + side // 8, side - side // 8, 2)[None]]

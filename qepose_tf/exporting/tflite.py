"""TFLite export."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from qepose_tf.data.images import resize_image
from qepose_tf.exporting.atomic import check_free, written_whole
from qepose_tf.exporting.serving import detect, float32_model, serving_module
from qepose_tf.exporting.verify import (
    Comparison,
    compare,
    keras_fixed_size,
    made_image,
    tflite_detector,
)
from qepose_tf.models.pose_estimator import PoseEstimator

SIDE_MULTIPLE = 32


def export_tflite(
    model: PoseEstimator,
    path: str | Path,
    height: int | None = None,
    width: int | None = None,
    batch: int = 1,
    overwrite: bool = False,
    images: Sequence[np.ndarray] | None = None,
) -> Comparison:
    """Writes a TFLite file of built-in operations, reloads and compares it.

    Its signature `serving_default` takes `images`, uint8 RGB `[batch, height, width,
    3]`, and gives `poses`, `scores`, `keypoint_scores` and `cells` as the SavedModel
    does (see `serving`), the poses in pixels of the given image. Nothing is resized
    inside. For other images, resize with the aspect ratio kept so that both sides
    fit, put the content at the top left and fill the right and bottom with the
    model's mean colour (124, 116, 104 by default), which is 0 after normalisation;
    a pose goes back by `(p + 0.5) / scale - 0.5`.

    Args:
        model: to export; it is written in float32.
        path: of the file to write; it appears when the comparison has passed.
        height: of the images, a multiple of 32; the model's input size by default.
        width: of the images, a multiple of 32; the model's input size by default.
        batch: images at once.
        overwrite: whether a file at `path` is replaced.
        images: `[H, W, 3]` uint8 to compare on, resized to the file's size; made ones
            by default.

    Returns:
        How far the reloaded file is from the Keras model.

    Raises:
        FileExistsError: `path` exists and may not be replaced.
        ValueError: a side is no multiple of 32, an operation has no built-in TFLite
            form, or the reloaded file does not give the model's poses.
    """
    path = Path(path)
    height, width = height or model.input_size, width or model.input_size
    if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE or batch < 1:
        raise ValueError(
            f"TFLite: expected sides that are multiples of {SIDE_MULTIPLE} and a batch "
            f"of at least 1, got {height}x{width} and {batch}"
        )
    check_free(path, overwrite, None)
    model = float32_model(model)
    content = _convert(model, (batch, height, width, 3))
    if images is None:
        shown = [made_image(height, width, seed) for seed in range(2 * batch)]
    else:
        shown = [resize_image(image, height, width) for image in images]
        shown += [shown[-1]] * (-len(shown) % batch)
    batches = np.stack(shown).reshape(-1, batch, height, width, 3)
    with written_whole(path, overwrite, None) as file:
        file.write_bytes(content)
        expected, actual = keras_fixed_size(model), tflite_detector(file)
        comparison = compare(
            [expected(images) for images in batches],
            [actual(images) for images in batches],
        )
        comparison.check("the TFLite file")
    return comparison


def _convert(model: PoseEstimator, shape: tuple[int, ...]) -> bytes:
    @tf.function(
        input_signature=[tf.TensorSpec(shape, tf.uint8, name="images")], autograph=False
    )
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return detect(model, images)

    module = serving_module(model)
    # From a SavedModel: only there do outputs keep their names in the signature.
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=["serving_default"]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return converter.convert()
        except Exception as error:  # the converter has an error class of its own
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ValueError(f"TFLite cannot convert the model: {reason}") from error

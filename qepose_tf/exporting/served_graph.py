"""The exported model as TensorFlow functions from uint8 images to poses.

The functions return a dict of

- `poses` `[B, P, K, 2]` float32 (x, y) in px of the given images,
- `scores` `[B, P]` float32, descending, 0 in empty rows,
- `keypoint_scores` `[B, P, K]` float32,
- `count` `[B]` int32, the number of rows that are not empty,
- `cells` `[B, P, 2]` int32 (x, y), the stride-4 cell of the network's input that each
  pose was regressed from. The cells of an image are all different, so they tell which
  poses of two runtimes can be compared.
"""

import tensorflow as tf

from qepose_tf.exporting.frozen import Frozen, Outputs
from qepose_tf.images.letterbox import MAX_ASPECT
from qepose_tf.models.pose_model import PoseModel

# Type errors are ignored below where TensorFlow's annotations are incomplete: it gives
# `Tensor` its operators at run time.
OUTPUTS = ("poses", "scores", "keypoint_scores", "count", "cells")
PAD_MULTIPLE = 64


def float32_model(model: PoseModel) -> PoseModel:
    """Returns the model, or a copy in float32 if it was trained in mixed precision.

    Args:
        model: A model of any dtype policy.
    """
    if model.dtype_policy.name == "float32":
        return model
    copy = type(model).from_config({**model.get_config(), "dtype": "float32"})
    copy.set_weights(model.get_weights())
    return copy


def detect(model: PoseModel, images: tf.Tensor) -> Outputs:
    """Detects people in images of the network's size.

    Args:
        model: A model in float32.
        images: `[B, H, W, 3]` uint8, with sides that are multiples of 32.

    Returns:
        The outputs that the module describes.
    """
    return _served(model(tf.cast(images, tf.float32), training=False))


def resized_sides(source_hw: tf.Tensor, input_size: int) -> tf.Tensor:
    """Computes `fit_short_side` and `capped_short_side` as TensorFlow operations.

    Args:
        source_hw: `[2]`, height and width of an image in px.
        input_size: The input size of the model in px.

    Returns:
        `[2]` int32, the height and width that the image is resized to.
    """
    # In float64 the numbers are rounded as Python rounds them.
    source = tf.cast(source_hw, tf.float64)
    longest, shortest = tf.reduce_max(source), tf.reduce_min(source)
    shrink = MAX_ASPECT / tf.maximum(longest / shortest, MAX_ASPECT)
    short_side = tf.maximum(tf.floor(input_size * shrink), 1)
    return tf.maximum(tf.cast(tf.round(source * (short_side / shortest)), tf.int32), 1)


def detect_any_size(model: PoseModel, images: tf.Tensor) -> Outputs:
    """Detects people in images of any size.

    The images are resized with their aspect ratio, so that the short side has the
    model's input size and the long side at most `MAX_ASPECT` times that. They are
    padded at the right and bottom with the mean colour.

    Args:
        model: A model in float32.
        images: `[B, H, W, 3]` uint8.

    Returns:
        The outputs that the module describes.
    """
    source_hw = tf.shape(images)[1:3]
    resized_hw = resized_sides(source_hw, model.input_size)
    padding = -resized_hw % PAD_MULTIPLE  # ty: ignore[unsupported-operator]
    resized = tf.image.resize(images, resized_hw, method="bilinear", antialias=True)
    # Pixels are rounded, because images are resized in 8 bits everywhere else.
    pixels = tf.clip_by_value(tf.round(resized), 0.0, 255.0)
    # The padding has the mean colour, which the model's first layer turns into 0.
    sides = [[0, 0], [0, padding[0]], [0, padding[1]], [0, 0]]
    padded = tf.pad(pixels - model.mean, sides) + model.mean
    outputs = model(padded, training=False)
    scale_yx = tf.cast(resized_hw / source_hw, tf.float32)
    poses = (outputs["poses"] + 0.5) / scale_yx[::-1] - 0.5
    return _served({**outputs, "poses": poses})


def detect_encoded(detect_images: Frozen, encoded: tf.Tensor) -> Outputs:
    """Detects people in JPEG and PNG files of any sizes.

    The images run one by one. In a batch, each would be padded to the size of the
    largest, and the poses would depend on the other images of the batch.

    Args:
        detect_images: A function from `[1, H, W, 3]` uint8 to the outputs.
        encoded: `[B]` string, the files. EXIF orientation is not applied.

    Returns:
        The outputs that the module describes.

    Raises:
        InvalidArgumentError: A file cannot be decoded. The message has its number in
            the batch. It is raised when the graph is run.
    """

    def detect_one(numbered: tuple[tf.Tensor, tf.Tensor]) -> Outputs:
        found = detect_images(decoded(*numbered)[None])  # ty: ignore[not-subscriptable]
        return {
            name: found[name][0]  # ty: ignore[not-subscriptable]
            for name in detect_images.specs
        }

    rows = {
        name: tf.TensorSpec(spec.shape[1:], spec.dtype)
        for name, spec in detect_images.specs.items()
    }
    return tf.map_fn(
        detect_one,
        (tf.range(tf.size(encoded)), encoded),
        fn_output_signature=rows,
        parallel_iterations=1,  # each image that runs in parallel takes memory
    )


def decoded(number: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
    """Decodes an image.

    Args:
        number: The number of the image in the batch, for the message of the error.
        content: The content of a JPEG or PNG file.

    Returns:
        `[H, W, 3]` uint8, with white in place of transparent pixels.
    """

    def decode(content: tf.Tensor) -> tf.Tensor:
        # Other decoders use the accurate transform, too.
        return tf.cond(
            tf.io.is_jpeg(content),
            lambda: tf.io.decode_jpeg(
                content, channels=3, dct_method="INTEGER_ACCURATE"
            ),
            lambda: _on_white(tf.io.decode_png(content, channels=4)),
        )

    # The decoder's own error tells neither which element failed nor what was expected.
    # Only `tf.data` can turn this error into a value.
    images = tf.data.Dataset.from_tensors(content).map(decode).ignore_errors()
    nothing = tf.zeros([0, 0, 3], tf.uint8)
    image, readable = images.reduce((nothing, False), lambda _, image: (image, True))
    check = tf.debugging.Assert(
        readable,
        [
            "encoded: expected JPEG or PNG, got another or a broken file at",
            number,
        ],
    )
    with tf.control_dependencies([check]):
        return tf.ensure_shape(image, [None, None, 3])


def _on_white(image: tf.Tensor) -> tf.Tensor:
    rgba = tf.cast(image, tf.float32)
    opacity = rgba[..., 3:] / 255.0
    page = rgba[..., :3] * opacity + 255.0 * (1.0 - opacity)
    return tf.cast(tf.round(page), tf.uint8)


def _served(outputs: Outputs) -> Outputs:
    present = tf.cast(
        outputs["scores"] > 0,  # ty: ignore[unsupported-operator]
        tf.int32,
    )
    outputs = {**outputs, "count": tf.reduce_sum(present, axis=1)}
    return {name: tf.identity(outputs[name], name=name) for name in OUTPUTS}

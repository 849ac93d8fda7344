"""The model as it is served: images in, poses out, and nothing of Keras.

The functions here return a dict of

- `poses` `[B, P, K, 2]` float32 (x, y) in pixels of the given images,
- `scores` `[B, P]` float32, descending, 0 in empty rows,
- `keypoint_scores` `[B, P, K]` float32,
- `count` `[B]` int32: rows with a person, the first ones,
- `cells` `[B, P, 2]` int32 (x, y): the stride-4 cell of the network's input that each
  pose was regressed from. An image has no cell twice, so it says which rows of two
  runtimes belong together.
"""

import tensorflow as tf

from qepose_tf.exporting.frozen import Frozen, Outputs
from qepose_tf.images.letterbox import MAX_ASPECT
from qepose_tf.models.pose_estimator import PoseEstimator

# Type errors are ignored below where TensorFlow's annotations are incomplete: it gives
# `Tensor` its operators at run time.
OUTPUTS = ("poses", "scores", "keypoint_scores", "count", "cells")
PAD_MULTIPLE = 64


def float32_model(model: PoseEstimator) -> PoseEstimator:
    """The model itself, or its copy in float32 where it computes in less.

    Mixed precision is for training; an exported file computes in float32.
    """
    if model.dtype_policy.name == "float32":
        return model
    copy = PoseEstimator.from_config({**model.get_config(), "dtype": "float32"})
    copy.set_weights(model.get_weights())
    return copy


def detect(model: PoseEstimator, images: tf.Tensor) -> Outputs:
    """Poses on images of the network's size: sides are multiples of 32.

    Args:
        model: in float32.
        images: `[B, H, W, 3]` uint8.

    Returns:
        See the module.
    """
    return _served(model(tf.cast(images, tf.float32), training=False))


def resized_sides(source_hw: tf.Tensor, input_size: int) -> tf.Tensor:
    """`fit_short_side` as TensorFlow operations, strips shrunk to `MAX_ASPECT`.

    Args:
        source_hw: `[2]` height and width of an image.
        input_size: of the model.

    Returns:
        `[2]` int32, height and width that the image is resized to.
    """
    # float64, to round as Python's numbers do
    source = tf.cast(source_hw, tf.float64)
    longest, shortest = tf.reduce_max(source), tf.reduce_min(source)
    shrink = MAX_ASPECT / tf.maximum(longest / shortest, MAX_ASPECT)
    short_side = tf.maximum(tf.floor(input_size * shrink), 1)
    return tf.maximum(tf.cast(tf.round(source * (short_side / shortest)), tf.int32), 1)


def detect_any_size(model: PoseEstimator, images: tf.Tensor) -> Outputs:
    """Poses on images of any size.

    The short side is brought to the model's input size with the aspect ratio kept
    (`resized_sides`), and the right and bottom are padded with the mean colour. A side
    longer than `MAX_ASPECT` input sizes is shrunk to that.

    Args:
        model: in float32.
        images: `[B, H, W, 3]` uint8.

    Returns:
        See the module.
    """
    source_hw = tf.shape(images)[1:3]
    resized_hw = resized_sides(source_hw, model.input_size)
    padding = -resized_hw % PAD_MULTIPLE  # ty: ignore[unsupported-operator]
    resized = tf.image.resize(images, resized_hw, method="bilinear", antialias=True)
    # to whole numbers, as images are resized in 8 bits everywhere else
    pixels = tf.clip_by_value(tf.round(resized), 0.0, 255.0)
    # The padding has the mean colour, which is 0 behind the model's first layer.
    sides = [[0, 0], [0, padding[0]], [0, padding[1]], [0, 0]]
    padded = tf.pad(pixels - model.mean, sides) + model.mean
    outputs = model(padded, training=False)
    scale_yx = tf.cast(resized_hw / source_hw, tf.float32)
    poses = (outputs["poses"] + 0.5) / scale_yx[::-1] - 0.5
    return _served({**outputs, "poses": poses})


def detect_encoded(detect_images: Frozen, encoded: tf.Tensor) -> Outputs:
    """Poses on JPEG and PNG files of any sizes.

    Each image runs alone: in a batch of one size each would be padded to the largest,
    and what is found would depend on the neighbours.

    Args:
        detect_images: from `[1, H, W, 3]` uint8 to outputs.
        encoded: `[B]` string. EXIF orientation is not applied.

    Returns:
        See the module. An element that cannot be decoded fails the whole batch with an
        `InvalidArgumentError` that gives its number.
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
        parallel_iterations=1,  # as many images at once would take their memory
    )


def decoded(number: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
    """Pixels of an encoded image, `[H, W, 3]` uint8; transparent ones are white.

    Args:
        number: for the error's message.
        content: JPEG or PNG.
    """

    def decode(content: tf.Tensor) -> tf.Tensor:
        # The accurate transform, as other decoders have it.
        return tf.cond(
            tf.io.is_jpeg(content),
            lambda: tf.io.decode_jpeg(
                content, channels=3, dct_method="INTEGER_ACCURATE"
            ),
            lambda: _on_white(tf.io.decode_png(content, channels=4)),
        )

    # A decoder's own error says neither which element failed nor what was expected;
    # only a data set can turn it into a value.
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

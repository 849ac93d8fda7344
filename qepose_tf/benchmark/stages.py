"""Times each stage of a model in TensorFlow, and the whole.

The stages are parts of the model's graph, with its weights as constants, as in exported
files. The input of each stage is the output of the one before.

`REST` is the time from uint8 pixels to poses without the convolutions of body and head,
which the sparse design has to keep small. It is the sum of the resize, the head without
its convolutions, the poses and the suppression. The time of the head's convolutions is
that of a graph with only the convolutions and matrix products of the head, and with the
norms and activations that TensorFlow fuses with them. This graph has no upsampling, no
sampling at the queries and no decoding.

`LEFT` measures the same by subtraction: the whole without image decoding, minus the
body, minus the head's convolutions. It should be a little less than `REST`, because
parts of two stages may run at the same time. As a small difference of two long times it
is only accurate if both were steady. TensorFlow's own times by operation cannot be
used: operations run in parallel, and their sum is more than the time that passes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from qepose_tf.benchmark.products import tensorflow_products
from qepose_tf.benchmark.worker import Loaded
from qepose_tf.exporting.frozen import Frozen
from qepose_tf.exporting.pose_json import fill_colour
from qepose_tf.exporting.served_graph import detect, float32_model
from qepose_tf.images.decoding import read_image
from qepose_tf.images.letterbox import fit_inside, inside_scale, original_points
from qepose_tf.models import PoseEstimator, load_model
from qepose_tf.ops import decode

DECODE, RESIZE, BODY, HEAD = "decode image", "resize", "body", "head"
POSES, SUPPRESSION = "poses", "suppression"
CONVOLUTIONS = "head's convolutions alone"
WHOLE, PIXELS = "whole, file to poses", "whole, uint8 pixels to poses"
REST = "all but the body's and the head's convolutions"
LEFT = "the same, as what is left of the whole"

Call = Callable[[], Any]


def start(file: Path, contents: Sequence[bytes]) -> Loaded:
    """Loads the stages of a model, and matrix products.

    Args:
        file: A `.keras` file.
        contents: The contents of image files, one for each image of the batch.
    """
    calls, answer = stages(load_model(file), contents)
    return Loaded({**calls, **tensorflow_products()}, answer)


def stages(
    model: PoseEstimator, contents: Sequence[bytes]
) -> tuple[dict[str, Call], Callable[[np.ndarray], dict[str, np.ndarray]]]:
    """Returns calls that each run one stage or the whole.

    Args:
        model: The model, which is timed at its input size.
        contents: The contents of image files, one for each image of the batch.

    Returns:
        The calls by name, in order, and a function from `[B, H, W, 3]` uint8 images to
        the outputs that `exporting.served_graph` describes.
    """
    model = float32_model(model)
    side, fill = model.input_size, fill_colour(model)

    def read() -> list[np.ndarray]:
        return [read_image(content, exif=True) for content in contents]

    def framed(images: list[np.ndarray]) -> np.ndarray:
        return np.stack([fit_inside(image, side, side, fill)[0] for image in images])

    images = read()
    pixels = framed(images)
    scales = [inside_scale(*image.shape[:2], side, side)[1] for image in images]
    normalise = _graph(model.get_layer("normalise"), tf.constant(pixels))
    body = _graph(partial(model.body, training=False), normalise(pixels))
    branches = body(normalise(pixels))
    head = _graph(_head(model), branches)
    maps = head(branches)
    regress = _graph(partial(_candidates, model), maps)
    candidates = regress(maps)
    suppress = _graph(partial(_people, model), candidates)
    convolutions, features = _head_convolutions(model, branches)
    whole = Frozen.of(partial(detect, model), _specs(tf.constant(pixels)))

    def answer(frames: np.ndarray) -> dict[str, np.ndarray]:
        found = whole(tf.convert_to_tensor(frames))
        return {name: value.numpy() for name, value in found.items()}

    def from_file() -> list[np.ndarray]:
        poses = answer(framed(read()))["poses"]
        return [original_points(*pair) for pair in zip(poses, scales, strict=True)]

    calls = {
        DECODE: read,
        RESIZE: lambda: _settled(normalise(framed(images))),
        BODY: lambda: _settled(body(normalised)),
        HEAD: lambda: _settled(head(branches)),
        POSES: lambda: _settled(regress(maps)),
        SUPPRESSION: lambda: _settled(suppress(candidates)),
        CONVOLUTIONS: lambda: _settled(convolutions(features)),
        WHOLE: from_file,
        PIXELS: lambda: answer(pixels),
    }
    normalised = normalise(pixels)
    return calls, answer


def _branches(model: PoseEstimator) -> list:
    """Returns the body's maps in the graph of the model."""
    first, *others = model.get_layer("general_feature").input
    upsampled = (model.get_layer(f"upsample_{i + 1}") for i in range(len(others)))
    return [first, *(layer.input for layer in upsampled)]


def _head(model: PoseEstimator) -> Callable:
    """Returns a function from the body's maps to the inputs of the decoder."""
    maps = model.get_layer("decoder").input
    return partial(keras.Model(_branches(model), maps), training=False)


def _candidates(model: PoseEstimator, maps: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Returns scores, poses and cells of the best cells, as the decoder does."""
    score_map, features, offsets = maps
    decoder = model.get_layer("decoder")
    peaks = decode.local_maxima(tf.clip_by_value(score_map, 0.0, 1.0))
    scores, cells = decode.top_cells(peaks, decoder.max_detections)
    poses = decoder.encoding(features, offsets, cells, training=False)
    return [scores, poses, cells]


def _people(model: PoseEstimator, candidates: Sequence[tf.Tensor]) -> dict:
    decoder = model.get_layer("decoder")
    return decode.people(*candidates, decoder.score_threshold, decoder.nms_distance)


def _head_convolutions(
    model: PoseEstimator, branches: Sequence[tf.Tensor]
) -> tuple[Callable, list[tf.Tensor]]:
    """Returns a graph of the head's convolutions and products, and its inputs."""
    names = {layer.name for layer in model.layers}
    general = model.get_layer("general_feature").output
    query = model.get_layer("keypoint_query").output
    sampled = "pose_query_encoding" in names
    last = model.get_layer("pose_query_encoding" if sampled else "score")
    before = keras.tree.flatten(last.input)[0]  # the instance feature
    encoded = last.output if sampled else last.input
    maps = [model.get_layer(n).output for n in ("score", "quality") if n in names]
    first = keras.Model(general, [*query, before])
    second = keras.Model(encoded, maps)

    def run(features: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        *query, instance = first(features[0], training=False)
        results = [*query, *keras.tree.flatten(second(features[1], training=False))]
        if sampled:
            rows, units = last.kernel.shape
            channels = instance.shape[-1]
            kernel = tf.reshape(last.kernel, [channels, rows // channels * units])
            results.append(tf.matmul(instance, kernel))
        return results

    inputs = keras.Model(_branches(model), [general, encoded])
    features = inputs(branches, training=False)
    return _graph(run, features), features


def _graph(run: Callable, example: Any) -> Callable:
    """Freezes a function whose arguments are like an example.

    Args:
        run: A function of a tensor or a list of tensors that returns tensors.
        example: An example of its argument.
    """
    frozen = Frozen.of(run, _specs(example))
    # A frozen function refuses a list of tensors, and takes 10 ms to prepare the error
    # even if another signature fits; so a function around it takes them one by one.
    flat = tf.function(
        lambda *tensors: frozen.function(*tensors),
        input_signature=tf.nest.flatten(_specs(example)),
        autograph=False,
    ).get_concrete_function()

    def call(tensors: Any) -> Any:
        outputs = flat(*tf.nest.flatten(tensors))
        return tf.nest.pack_sequence_as(frozen.specs, outputs)

    return call


def _specs(tensors: Any) -> Any:
    return tf.nest.map_structure(tf.TensorSpec.from_tensor, tensors)


def _settled(outputs: Any) -> Any:
    """Returns the outputs when the devices have computed them."""
    tf.test.experimental.sync_devices()
    return outputs

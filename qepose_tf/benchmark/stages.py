"""Where the time goes in TensorFlow: each stage by itself, and the whole.

The stages are the parts of the model's own graph, with its weights as constants, as
every exported file has them. Each takes what the stage before it put out.

`REST` is what the sparse design must keep small: from uint8 pixels to poses, all but
the body's and the head's convolutions. It is the sum of the stages that are neither:
the resize; the head, less the head's convolutions alone; the poses; the suppression.
The convolutions alone are a graph of nothing but the head's convolutions and products,
with the norms and activations that TensorFlow computes along with them. It lacks the
upsampling, the sampling at the queries and all that decodes.

`LEFT` is the same by taking away: the whole without the image's decoding, less the
body, less the head's convolutions. It should be a little less than `REST`, as a part of
one stage may run beside another; but it is a small difference of two long times, and
only means something where both were steady. TensorFlow's own times by operation would
not do: operations run beside each other and add up to more than what passes.
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
    """The stages of a model file, and matrix products.

    Args:
        file: a `.keras` file.
        contents: of image files, one for each image of the batch.
    """
    calls, answer = stages(load_model(file), contents)
    return Loaded({**calls, **tensorflow_products()}, answer)


def stages(
    model: PoseEstimator, contents: Sequence[bytes]
) -> tuple[dict[str, Call], Callable[[np.ndarray], dict[str, np.ndarray]]]:
    """Calls that each run one stage or the whole, by name, and what detects.

    Args:
        model: that is timed at its input size.
        contents: of image files, one for each image of the batch.

    Returns:
        The calls, in order; and a function from uint8 frames `[B, H, W, 3]` to what
        `exporting.serving` puts out.
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
    """The body's maps in the model's own graph."""
    first, *others = model.get_layer("general_feature").input
    upsampled = (model.get_layer(f"upsample_{i + 1}") for i in range(len(others)))
    return [first, *(layer.input for layer in upsampled)]


def _head(model: PoseEstimator) -> Callable:
    """From the branches to the maps that the decoder takes."""
    maps = model.get_layer("decoder").input
    return partial(keras.Model(_branches(model), maps), training=False)


def _candidates(model: PoseEstimator, maps: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The poses of the best cells, as the decoder regresses them."""
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
    """The head's convolutions and products as a graph, and what it takes."""
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
    """A function of tensors like those of the example, its weights frozen.

    Args:
        run: takes a tensor or a list of tensors, returns tensors.
        example: what it will take.
    """
    frozen = Frozen.of(run, _specs(example))
    # Of several tensors the frozen function takes no list, and trying to tell why it
    # does not costs it ten milliseconds; a function around it takes them one by one.
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
    """Waits for devices that compute while Python goes on."""
    tf.test.experimental.sync_devices()
    return outputs

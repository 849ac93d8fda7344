"""Makes untrained models whose poses can be compared between runtimes."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from qepose_tf.exporting.pose_json import fill_colour
from qepose_tf.images.letterbox import fit_inside
from qepose_tf.models import PoseEstimator
from qepose_tf.skeleton import Skeleton

TYPICAL_SCORE = 0.3  # is added to the score map, which is 0 in an untrained model


def settled_model(
    skeleton: Skeleton,
    settings: Mapping[str, Any],
    images: Sequence[np.ndarray],
    seed: int = 0,
) -> PoseEstimator:
    """Builds a model and sets the statistics of its batch normalisation on images.

    The initial statistics of a deep network do not normalise its activations, and its
    poses are then too large to be compared.

    Args:
        skeleton: The skeleton of the model.
        settings: Arguments of `PoseEstimator`.
        images: A few `[H, W, 3]` uint8 images.
        seed: The seed of the weights.
    """
    keras.utils.set_random_seed(seed)
    arguments: dict[str, Any] = {**settings, "batch_norm": {"momentum": 0.0}}
    model = PoseEstimator(skeleton, **arguments)
    side, fill = model.input_size, fill_colour(model)
    frames = np.stack([fit_inside(image, side, side, fill)[0] for image in images])
    scores = model(frames, training=True)["score_map"]
    bias = model.get_layer("score").bias
    bias.assign(bias + TYPICAL_SCORE - np.mean(scores))
    return model

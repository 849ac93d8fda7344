"""An untrained model that is worth timing and comparing."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from qepose_tf.exporting.pose_json import fill_colour
from qepose_tf.images.letterbox import fit_inside
from qepose_tf.models import PoseEstimator
from qepose_tf.skeleton import Skeleton

TYPICAL_SCORE = 0.3  # the middle of an untrained score map, which is 0 otherwise


def settled_model(
    skeleton: Skeleton,
    settings: Mapping[str, Any],
    images: Sequence[np.ndarray],
    seed: int = 0,
) -> PoseEstimator:
    """Builds a model whose activations are normalised on images.

    By the initial statistics of a deep network they are not, and its poses are too
    wild to compare.

    Args:
        skeleton: of the model.
        settings: arguments of `PoseEstimator`.
        images: `[H, W, 3]` uint8, a few.
        seed: of the weights.
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

"""Starting a model from another one that may know other keypoints.

All weights of the body and those of the head that belong to no keypoint are taken as
they are. A weight with one part for each keypoint is taken part by part: keypoints of
the same name get their part, the others keep their initial values.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from qepose_tf.models.image_model import Kind
from qepose_tf.models.pose_model import PoseModel
from qepose_tf.models.reading import load_model

logger = logging.getLogger(__name__)

# The axis of a weight that is made of parts, one for each keypoint, by its path.
_KEYPOINT_AXES = (
    (r"keypoint_query/representation/kernel", -1),
    (r"keypoint_query/(norm|offset)/.*", 0),
    (r"keypoint_query_encoding/.*", 0),
    (r"pose_query_encoding/kernel", 0),
    (r"automatic/offset/.*", -1),
    # DEKR's
    (r"head_heatmap_1/(kernel|bias)", -1),
    (r"transition_offset_0/kernel", -1),
    (r"transition_offset_1/.*", 0),
    (r"encoding/(block_\d+/.*|offset/.*)", 0),
)
# Behind the keypoints' parts stands one of the centre, which has no name.
_WITH_CENTRE = re.compile(r"(^|/)head_heatmap_1/(kernel|bias)$")


@dataclass(frozen=True)
class Transfer:
    """What a model took from another one.

    Attributes:
        taken: Keypoints of the target whose part of the head was taken.
        fresh: Keypoints of the target that begin with initial values.
        left: Paths of the target's weights for which the source has no equal.
    """

    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"the body and the keypoints {', '.join(self.taken)} are taken"]
        if not self.taken:
            parts = ["the body is taken and none of the keypoints"]
        if self.fresh:
            parts.append(f"{', '.join(self.fresh)} begin new")
        if self.left:
            parts.append(
                f"{len(self.left)} weights of another shape begin new, the first is "
                f"{self.left[0]}"
            )
        return "; ".join(parts)


def load_changed(kind: type[Kind], preset: str | Path, changes: dict[str, Any]) -> Kind:
    """Does what `ImageModel.from_preset` says, for models of one kind."""
    source = load_model(preset)
    if not isinstance(source, kind):
        raise ValueError(
            f"{preset}: expected a {kind.__name__}, got a {type(source).__name__}"
        )
    if not changes:
        return source
    target = type(source).from_config(changed_settings(source, changes))
    logger.info("started from %s: %s", preset, transfer(source, target))
    return target


def changed_settings(source: PoseModel, changes: dict[str, Any]) -> dict[str, Any]:
    """Returns a model's arguments with some of them changed.

    Args:
        source: The model whose arguments are the defaults.
        changes: Arguments of its class. Of a group that is given as a dict, only
            the named settings change.
    """
    settings = source.get_config()
    unknown = sorted(set(changes) - set(settings))
    if unknown:
        raise ValueError(
            f"{unknown[0]}: expected an argument of {type(source).__name__}, which "
            f"are {', '.join(settings)}"
        )
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(settings[name], dict):
            if name != "skeleton":
                value = settings[name] | value
        settings[name] = value
    return settings


def transfer(source: PoseModel, target: PoseModel) -> Transfer:
    """Copies into a model what another one has learned.

    Args:
        source: The trained model.
        target: The model that is to start from it, with the same backbone. It may
            have other keypoints, another input size and another head.

    Returns:
        What was taken and what begins new.

    Raises:
        ValueError: The two have different backbones, or one is a `DEKR` and the other
            is not. Nothing was copied then.

    Example:
        >>> from qepose_tf import PoseEstimator
        >>> trained = PoseEstimator("coco", backbone="tiny", input_size=64)
        >>> new = PoseEstimator("crowdpose", backbone="tiny", input_size=64)
        >>> transfer(trained, new).fresh
        ('head', 'neck')
    """
    _check_bodies(source, target)
    for variable, value in zip(target.body.weights, source.body.weights, strict=True):
        variable.assign(value)
    learned = {_name(v, source): v for v in _head_weights(source)}
    parts = _matching_keypoints(source, target)
    left = []
    for variable in _head_weights(target):
        path = _name(variable, target)
        value = learned.get(path)
        axis = keypoint_axis(path)
        if value is None:
            left.append(path)
        elif axis is None and value.shape == variable.shape:
            variable.assign(value)
        elif axis is not None and _same_parts(
            path, value, source, variable, target, axis
        ):
            joined = _joined(path, variable, value, parts, axis, source, target)
            variable.assign(joined)
        else:
            left.append(path)
    names = target.skeleton.keypoints
    taken = {index for _, index in parts}
    return Transfer(
        taken=tuple(n for i, n in enumerate(names) if i in taken),
        fresh=tuple(n for i, n in enumerate(names) if i not in taken),
        left=tuple(left),
    )


def keypoint_axis(path: str) -> int | None:
    """Returns the axis of a weight that has a part for each keypoint, or None.

    Args:
        path: The weight's path, such as `keypoint_query/offset/kernel`.
    """
    for pattern, axis in _KEYPOINT_AXES:
        if re.search(rf"(^|/){pattern}$", path):
            return axis
    return None


def _name(variable: keras.Variable, model: keras.Model) -> str:
    return variable.path.removeprefix(f"{model.name}/")


def _head_weights(model: PoseModel) -> list[keras.Variable]:
    body = {id(variable) for variable in model.body.weights}
    return [variable for variable in model.weights if id(variable) not in body]


def _check_bodies(source: PoseModel, target: PoseModel) -> None:
    if type(source) is not type(target):
        raise ValueError(
            f"expected a {type(target).__name__} to start from, "
            f"got a {type(source).__name__}"
        )
    shapes = [
        [(v.path.rpartition("/")[2], tuple(v.shape)) for v in model.body.weights]
        for model in (source, target)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"expected the backbone of the model to start from, "
            f"{source.backbone_name}, got {target.backbone_name}"
        )


def _matching_keypoints(source: PoseModel, target: PoseModel) -> list[tuple[int, int]]:
    """Indices (in the source, in the target) of the keypoints with the same name."""
    index_of = {_plain(n): i for i, n in enumerate(source.skeleton.keypoints)}
    return [
        (index_of[_plain(name)], index)
        for index, name in enumerate(target.skeleton.keypoints)
        if _plain(name) in index_of
    ]


def _plain(name: str) -> str:
    """A keypoint's name without regard to case and separators."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def _same_parts(
    path: str,
    value: Any,
    source: PoseModel,
    variable: keras.Variable,
    target: PoseModel,
    axis: int,
) -> bool:
    """Whether two weights differ at most in the number of keypoints."""
    shapes = []
    for weight, model in ((value, source), (variable, target)):
        shape = list(weight.shape)
        shape[axis] -= _behind(path)
        count = model.skeleton.num_keypoints
        if shape[axis] % count:
            return False
        shape[axis] //= count
        shapes.append(shape)
    return shapes[0] == shapes[1]


def _joined(
    path: str,
    variable: keras.Variable,
    value: Any,
    parts: list[tuple[int, int]],
    axis: int,
    source: PoseModel,
    target: PoseModel,
) -> np.ndarray:
    """The target's weight with the parts that the source knows."""
    behind = _behind(path)
    new, _ = _by_keypoint(variable, target.skeleton.num_keypoints, axis, behind)
    old, last = _by_keypoint(value, source.skeleton.num_keypoints, axis, behind)
    if parts:
        froms, tos = map(list, zip(*parts, strict=True))
        new[tos] = old[froms]
    moved = np.concatenate([new.reshape(-1, *new.shape[2:]), last])
    return np.moveaxis(moved, 0, axis)


def _behind(path: str) -> int:
    """The entries of a weight's keypoint axis that stand behind the keypoints."""
    return 1 if _WITH_CENTRE.search(path) else 0


def _by_keypoint(
    weight: Any, count: int, axis: int, behind: int
) -> tuple[np.ndarray, np.ndarray]:
    """A weight as `[K, part, ...]`, a copy, and what stands behind the keypoints."""
    array = np.moveaxis(keras.ops.convert_to_numpy(weight), axis, 0)
    end = len(array) - behind
    return array[:end].reshape(count, -1, *array.shape[1:]).copy(), array[end:]

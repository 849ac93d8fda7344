"""What can be set of a `PoseEstimator`, grouped by the part that it belongs to.

Each group is a frozen dataclass with the paper's values as defaults. `to_dict` and the
constructor are each other's inverse, so that a model file holds them as JSON.
"""

import dataclasses
from typing import Any, TypeVar

from qepose_tf.layers.cir_target import LABELS

# Where the instance feature is read to score a cell (Table 6), and the row's name.
POSE_QUERIES = {
    "queries": "KQ: at the K keypoint queries",
    "keypoints": "KPS: at the K keypoints",
    "semantic_points": "SP: at the K * N semantic points",
    "automatic": "Auto: at K points that nothing else uses",
    "none": "without PQE: at the cell alone",
}
NORMALISERS = ("omega", "cells")


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What all groups can do."""

    def to_dict(self) -> dict[str, Any]:
        """The settings by name, as JSON takes them."""
        return dataclasses.asdict(self)

    def replace(self: "Group", **changes: Any) -> "Group":
        """A copy in which some settings differ."""
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class HeadSettings(_Settings):
    """What stands between the general feature and the score map and displacements.

    The paper's ablations switch its parts off or replace them (Tables 2, 3 and 6).

    Args:
        keypoint_channels: Channels of each keypoint's representation `R_k`.
        instance_channels: Channels of the instance feature `R_I`.
        semantic_points: N of the keypoint query encoding.
        keypoint_query_encoding: False regresses keypoints in one hop (Table 2).
        pose_query: Where a cell's score is read, a key of `POSE_QUERIES` (Table 6;
            `none` is Table 2's model without PQE).
        quality_branch: Estimate the quality beside the score and rank by the product
            (Table 3); adds the output `quality_map` `[B, H/4, W/4, 1]`.

    Raises:
        ValueError: A combination has no meaning.

    Example:
        >>> HeadSettings(keypoint_channels=16).semantic_points
        9
    """

    keypoint_channels: int = 20
    instance_channels: int = 64
    semantic_points: int = 9
    keypoint_query_encoding: bool = True
    pose_query: str = "queries"
    quality_branch: bool = False

    def __post_init__(self) -> None:
        if self.pose_query not in POSE_QUERIES:
            raise ValueError(
                f"expected a pose_query of {list(POSE_QUERIES)}, "
                f"got {self.pose_query!r}"
            )
        if self.pose_query == "semantic_points" and not (
            self.keypoint_query_encoding and self.semantic_points
        ):
            raise ValueError(
                "pose_query semantic_points: expected keypoint_query_encoding with "
                f"semantic_points > 0, got {self.keypoint_query_encoding} with "
                f"{self.semantic_points}"
            )


@dataclasses.dataclass(frozen=True)
class LossSettings(_Settings):
    """What is taught, and with which weight (Eq. 2, 3 and 6).

    Args:
        disc_radius: Radius of Omega in cells.
        instance_label: What the score map is taught in Omega: `cir`, `gaussian` or
            `discrete` (Table 3), see `CIRTargetLayer`.
        gaussian_sigma: Of the Gaussian label in cells; None is half the radius.
        background_weight: Weight of the score loss outside Omega (Eq. 3).
        score_weight: Weight of the score loss.
        offset_weight: Weight of the displacement loss.
        quality_weight: Weight of the quality branch's loss.
        offset_beta: Where the displacement's smooth L1 turns linear, in cells.
        area_weighted: Weigh displacements by 1 / sqrt(person's area in cells).
        score_normaliser: `omega` divides the score loss by the number of cells in
            Omega, `cells` by that of all cells.

    Raises:
        ValueError: A name is unknown.
    """

    disc_radius: float = 4.0
    instance_label: str = "cir"
    gaussian_sigma: float | None = None
    background_weight: float = 0.1
    score_weight: float = 1.0
    offset_weight: float = 1.0
    quality_weight: float = 1.0
    offset_beta: float = 1.0 / 9.0
    area_weighted: bool = True
    score_normaliser: str = "omega"

    def __post_init__(self) -> None:
        if self.score_normaliser not in NORMALISERS:
            raise ValueError(
                f"expected a score_normaliser of {list(NORMALISERS)}, "
                f"got {self.score_normaliser!r}"
            )
        if self.instance_label not in LABELS:
            raise ValueError(
                f"expected an instance_label of {list(LABELS)}, "
                f"got {self.instance_label!r}"
            )


@dataclasses.dataclass(frozen=True)
class DecoderSettings(_Settings):
    """How the best cells become people.

    Args:
        max_detections: Rows of poses for an image.
        score_threshold: Rows with a lower or equal score become empty.
        nms_distance: Of the pose suppression, as a share of a pose's box diagonal; a
            pose without extent counts as 160 px large.
    """

    max_detections: int = 30
    score_threshold: float = 0.01
    nms_distance: float = 0.05


@dataclasses.dataclass(frozen=True)
class BatchNormSettings(_Settings):
    """Batch normalisation, in a named body and in the head.

    Args:
        momentum: Of the moving statistics.
        synchronized: Whether batch statistics are shared between replicas.
    """

    momentum: float = 0.9
    synchronized: bool = False


GROUPS = {
    "head": HeadSettings,
    "loss": LossSettings,
    "decoder": DecoderSettings,
    "batch_norm": BatchNormSettings,
}
# Settings as version 0.1 called them, where the group's name says it now.
_FORMER_NAMES = {
    "batch_norm_momentum": ("batch_norm", "momentum"),
    "synchronized_batch_norm": ("batch_norm", "synchronized"),
}

Group = TypeVar("Group", bound=_Settings)


def group_of(name: str, value: Any, kind: type[Group]) -> Group:
    """A group from itself, from a dict of its settings, or the defaults from None.

    Args:
        name: Of the argument, for the message.
        value: What was given.
        kind: The group's class.

    Raises:
        ValueError: It is something else, or a setting is unknown.
    """
    if value is None:
        return kind()
    if isinstance(value, kind):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected {kind.__name__} or a dict, got {value!r}")
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise ValueError(f"{name}: unknown setting {unknown[0]!r}, expected {known}")
    return kind(**value)


def grouped(config: dict[str, Any]) -> dict[str, Any]:
    """A model's config with its settings in groups.

    Files of version 0.1 hold every setting by itself.

    Args:
        config: Of `PoseEstimator.get_config`, of this version or of 0.1.
    """
    config = dict(config)
    places = {
        field.name: (name, field.name)
        for name, kind in GROUPS.items()
        for field in dataclasses.fields(kind)
        if name != "batch_norm"
    } | _FORMER_NAMES
    for former in [name for name in config if name in places]:
        group, setting = places[former]
        config[group] = {**config.get(group, {}), setting: config.pop(former)}
    return config

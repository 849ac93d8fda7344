"""The settings of a `PoseEstimator`, grouped by the part that they belong to.

Each group is a frozen dataclass with the paper's values as defaults. Model files hold
groups as JSON: `to_dict` gives the arguments of the constructor.
"""

import dataclasses
from typing import Any, TypeVar

from qepose_tf.layers.cir_target import LABELS

# The points at which the instance feature is sampled to score a cell (Table 6).
POSE_QUERIES = {
    "queries": "KQ: at the K keypoint queries",
    "keypoints": "KPS: at the K keypoints",
    "semantic_points": "SP: at the K * N semantic points",
    "automatic": "Auto: at K points that nothing else uses",
    "none": "without PQE: at the cell alone",
}
NORMALISERS = ("omega", "cells")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The methods that all groups have."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings by name, ready for JSON."""
        return dataclasses.asdict(self)

    def replace(self: "Group", **changes: Any) -> "Group":
        """Returns a copy in which some settings are replaced."""
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class HeadSettings(Settings):
    """The settings of the head, which predicts the score map and displacements.

    The paper's ablations switch parts of it off or replace them (Tables 2, 3 and 6).

    Args:
        keypoint_channels: The channels of each keypoint's representation `R_k`.
        instance_channels: The channels of the instance feature `R_I`.
        semantic_points: N, the semantic points of the keypoint query encoding.
        keypoint_query_encoding: Whether keypoints are regressed in two hops. With
            False, they are regressed in one (Table 2).
        pose_query: The points at which the feature of a cell's score is sampled, a key
            of `POSE_QUERIES` (Table 6). `none` is Table 2's model without PQE.
        quality_branch: Whether the quality is predicted apart from the score, and cells
            are ranked by the product (Table 3). The model then has the output
            `quality_map` `[B, H/4, W/4, 1]`.

    Raises:
        ValueError: `pose_query` is unknown, or needs settings that are switched off.

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
class LossSettings(Settings):
    """The settings of the labels and the losses (Eq. 2, 3 and 6).

    Args:
        disc_radius: The radius of a person's disc in Omega, in cells.
        instance_label: The label of the score map in Omega: `cir`, `gaussian` or
            `discrete` (Table 3), see `CIRTargetLayer`.
        gaussian_sigma: The sigma of the Gaussian label in cells. None is half the
            radius.
        background_weight: The weight of the score loss outside Omega (Eq. 3).
        score_weight: The weight of the score loss.
        offset_weight: The weight of the displacement loss.
        quality_weight: The weight of the loss of the quality branch.
        offset_beta: The error at which the smooth L1 loss turns linear, in cells.
        area_weighted: Whether displacements have the weight 1 / sqrt(area), with the
            area of the person in cells squared.
        score_normaliser: The divisor of the score loss: the number of cells in Omega
            (`omega`) or of all cells (`cells`).

    Raises:
        ValueError: A name is unknown.

    Example:
        >>> LossSettings(instance_label="gaussian").replace(disc_radius=3.0).disc_radius
        3.0
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
class DecoderSettings(Settings):
    """The settings of the decoder, which turns the best cells into people.

    Args:
        max_detections: The rows of poses for an image.
        score_threshold: Rows with a lower or equal score become empty.
        nms_distance: The distance below which the pose of the lower score is
            suppressed, as a share of the diagonal of a pose's box. A pose without
            extent counts as 160 px large.

    Example:
        >>> DecoderSettings(max_detections=10).to_dict()["max_detections"]
        10
    """

    max_detections: int = 30
    score_threshold: float = 0.01
    nms_distance: float = 0.05


@dataclasses.dataclass(frozen=True)
class BatchNormSettings(Settings):
    """The settings of batch normalisation in named bodies and in the head.

    Args:
        momentum: The momentum of the moving statistics.
        synchronized: Whether replicas share batch statistics.

    Example:
        >>> BatchNormSettings(synchronized=True).momentum
        0.9
    """

    momentum: float = 0.9
    synchronized: bool = False


GROUPS = {
    "head": HeadSettings,
    "loss": LossSettings,
    "decoder": DecoderSettings,
    "batch_norm": BatchNormSettings,
}
# The names of settings in version 0.1, and their group and name now.
_FORMER_NAMES = {
    "batch_norm_momentum": ("batch_norm", "momentum"),
    "synchronized_batch_norm": ("batch_norm", "synchronized"),
}

Group = TypeVar("Group", bound=Settings)


def group_of(name: str, value: Any, kind: type[Group]) -> Group:
    """Returns a group of settings from an argument.

    Args:
        name: The name of the argument, for the message.
        value: The argument: a group, a dict of its settings, or None for the defaults.
        kind: The class of the group.

    Raises:
        ValueError: The argument is of another type, or a setting is unknown.
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
    """Returns a model's config with its settings in groups.

    Args:
        config: The result of `PoseEstimator.get_config`, of this version or of 0.1,
            where settings were not grouped.
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

"""The settings of a `DEKR`, with the values of HRNet/DEKR as defaults."""

import dataclasses

from qepose_tf.models.settings import Settings
from qepose_tf.ops.heat_decode import PROTOCOLS


@dataclasses.dataclass(frozen=True)
class DEKRHeadSettings(Settings):
    """The settings of DEKR's head.

    Args:
        heatmap_channels: The channels of the heatmap branch. None is the width of the
            body: 32 for W32 and 48 for W48.
        keypoint_channels: The channels of each keypoint's branch.
        adaptive_blocks: The adaptive convolutions of each keypoint's branch.

    Example:
        >>> DEKRHeadSettings().keypoint_channels
        15
    """

    heatmap_channels: int | None = None
    keypoint_channels: int = 15
    adaptive_blocks: int = 2


@dataclasses.dataclass(frozen=True)
class DEKRDecoderSettings(Settings):
    """The settings of DEKR's decoder, which turns centres into people.

    Args:
        max_detections: The rows of poses for an image.
        score_threshold: Rows whose centre has a lower or equal score become empty.
        nms_distance: Keypoints nearer than this fraction of the diagonal of a pose's
            box coincide.
        nms_keypoints: Poses with more coinciding keypoints are the same person. None is
            half of the keypoints, rounded down: 8 for COCO and 7 for CrowdPose.
        protocol: Whose decoder, a key of `ops.heat_decode.PROTOCOLS`: `dekr` or
            `mmpose`.

    Raises:
        ValueError: The protocol is unknown.

    Example:
        >>> DEKRDecoderSettings(protocol="mmpose").nms_distance
        0.05
    """

    max_detections: int = 30
    score_threshold: float = 0.01
    nms_distance: float = 0.05
    nms_keypoints: int | None = None
    protocol: str = "dekr"

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(
                f"expected a protocol of {list(PROTOCOLS)}, got {self.protocol!r}"
            )


@dataclasses.dataclass(frozen=True)
class DEKRLossSettings(Settings):
    """The settings of DEKR's targets and losses, which are those of HRNet/DEKR.

    Args:
        keypoint_sigma: The sigma of the Gaussian about a keypoint, in cells.
        centre_sigma: The sigma of the Gaussian about a person's centre, in cells.
        disc_radius: Displacements are trained in cells nearer to a centre than this.
            HRNet/DEKR trains a square of 8 x 8 cells.
        background_weight: The weight of the heatmaps' error outside of all Gaussians.
        heatmap_weight: The weight of the heatmap loss.
        offset_weight: The weight of the displacement loss.
        offset_beta: The error at which the smooth L1 loss turns linear, in cells.

    Example:
        >>> DEKRLossSettings().offset_weight
        0.03
    """

    keypoint_sigma: float = 2.0
    centre_sigma: float = 4.0
    disc_radius: float = 4.0
    background_weight: float = 0.1
    heatmap_weight: float = 1.0
    offset_weight: float = 0.03
    offset_beta: float = 1.0 / 9.0

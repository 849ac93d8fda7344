"""The Consistent Instance Representation: the score map's target (Eq. 2)."""

import keras
from keras import ops

from qepose_tf.ops.facts import Omega
from qepose_tf.ops.oks import oks
from qepose_tf.ops.targets import locate_omega, scatter_to_map

LABELS = ("cir", "gaussian", "discrete")


@keras.saving.register_keras_serializable("qepose_tf")
class CIRTargetLayer(keras.layers.Layer):
    """Targets from facts: Omega's cells, their owners' poses and the CIR.

    `locate` names the cells whose poses training needs; `call` takes the poses
    predicted there and makes the target and the weights of the score map.

    Args:
        sigmas: falloff of each keypoint, K numbers.
        radius: of the disc Omega in cells.
        background_weight: weight of the score loss outside Omega (Eq. 3).
        label: what the score of a cell in Omega is taught: `cir`, the OKS of the pose
            predicted there; or the labels that Table 3 compares with it, `gaussian`,
            which falls with the distance from the centre, and `discrete`, 1.
        gaussian_sigma: of the Gaussian label in cells; half the radius by default,
            which lets it fall to 0.14 at Omega's rim.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        sigmas,
        radius: float = 4.0,
        background_weight: float = 0.1,
        label: str = "cir",
        gaussian_sigma: float | None = None,
        **kwargs,
    ):
        super().__init__(**{"trainable": False, **kwargs, "dtype": "float32"})
        if label not in LABELS:
            raise ValueError(f"expected a label of {LABELS}, got {label!r}")
        self.sigmas = tuple(float(sigma) for sigma in sigmas)
        self.radius = radius
        self.background_weight = background_weight
        self.label = label
        self.gaussian_sigma = gaussian_sigma

    def locate(self, keypoints_px, area, map_hw, packed: bool = False) -> Omega:
        """Omega of every person.

        Args:
            keypoints_px: `[B, M, K, 3]` (x, y, v) in input pixels.
            area: `[B, M]` in input pixels squared; 0 is padding.
            map_hw: height and width of the stride-4 map.
            packed: whether only cells that count are listed, in one row for the whole
                batch. Their number differs from batch to batch, which TensorFlow
                allows and compilers such as XLA do not.
        """
        return locate_omega(keypoints_px, area, map_hw, self.radius, packed)

    def call(self, poses, omega, ignore):
        """The target of the score map and its weights.

        Args:
            poses: predicted `[B, P, K, 2]` in cells, at `omega.cells`.
            omega: what `locate` returned, padded or packed.
            ignore: `[B, H, W, 1]`, 1 where the score loss must not look.

        Returns:
            `target` `[B, H, W, 1]`: the label in Omega, 0 elsewhere, no gradient;
            `weight` `[B, H, W, 1]`: 1 in Omega, `background_weight` outside, 0 where
            ignored; and `quality` `[B, P]`, the OKS at each cell.
        """
        quality = oks(poses, omega.keypoints, omega.area, self.sigmas)
        quality = ops.stop_gradient(quality) * omega.owned
        shape = ops.shape(ignore)[:3]
        labels = self._labels(quality, omega)
        target = scatter_to_map(labels, omega.images, omega.cells, shape)
        inside = scatter_to_map(omega.owned, omega.images, omega.cells, shape)
        weight = ops.where(inside > 0, 1.0, self.background_weight)
        return target, weight * (1.0 - ops.cast(ignore, "float32")), quality

    def _labels(self, quality, omega: Omega):
        """What each cell is taught, `[B, P]`; 0 where it does not count."""
        if self.label == "cir":
            return quality
        if self.label == "discrete":
            return omega.owned
        sigma = self.gaussian_sigma or self.radius / 2
        return omega.owned * ops.exp(-omega.distance2 / (2.0 * sigma**2))

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "sigmas": list(self.sigmas),
            "radius": self.radius,
            "background_weight": self.background_weight,
            "label": self.label,
            "gaussian_sigma": self.gaussian_sigma,
        }

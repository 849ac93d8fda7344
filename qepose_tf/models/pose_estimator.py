"""The pose estimator: body, head, decoder and losses in one functional model."""

from collections.abc import Sequence
from typing import Any

import keras

from qepose_tf.layers.cir_target import CIRTargetLayer
from qepose_tf.layers.normalise import Normalise
from qepose_tf.layers.pose_decoder import PoseDecoder
from qepose_tf.models import bodies
from qepose_tf.models.head import build_head, ranking
from qepose_tf.models.multi_view import decode_quality
from qepose_tf.models.pixels import MEAN, STD, rgb_numbers
from qepose_tf.models.pose_training import PoseTraining
from qepose_tf.models.settings import (
    BatchNormSettings,
    DecoderSettings,
    HeadSettings,
    LossSettings,
    group_of,
    grouped,
)
from qepose_tf.ops.facts import Tensor
from qepose_tf.presets import PRESETS
from qepose_tf.skeleton import Skeleton

TRAINING_ONLY = ("keypoint_features", "query_offsets")


@keras.saving.register_keras_serializable("qepose_tf")
class PoseEstimator(PoseTraining):
    """A model of multi-person pose regression with quality-aware scores.

    It is a functional model from images `[B, H, W, 3]`, RGB in 0..255 of any type with
    sides that are multiples of 32, to a dict of

    - `score_map` `[B, H/4, W/4, 1]`: the predicted quality of each cell's pose,
    - `poses` `[B, P, K, 2]` (x, y) in input pixels, `scores` `[B, P]` descending and 0
      in empty rows, `keypoint_scores` `[B, P, K]`, `cells` `[B, P, 2]` (x, y),
    - `keypoint_features` and `query_offsets`, from which `compute_loss` regresses the
      poses of the cells it needs; `predict` leaves them out.

    `fit` takes `(images, facts)`; facts are a dict or `Facts`: `keypoints`
    `[B, M, K, 3]` (x, y, v) and `area` `[B, M]` in input pixels (area 0: padding), and
    `ignore` `[B, H/4, W/4, 1]`, 1 where the score loss must not look. Compile the model
    with an optimizer and no loss: the targets depend on the predictions (Eq. 2).

    Args:
        skeleton: The keypoints: a `Skeleton`, its dict, or the name of a built-in one.
        backbone: A name of `models.bodies.named_bodies`, or a functional model with
            maps at strides 4 to 32 (see `models.bodies.build_body`), whose weights are
            taken as they are.
        input_size: Side of the training crop and short side at inference, in pixels.
        head: `HeadSettings` or a dict of them.
        loss: `LossSettings` or a dict of them.
        decoder: `DecoderSettings` or a dict of them.
        batch_norm: `BatchNormSettings` or a dict of them.
        mean: Three numbers in 0..255 that the first layer subtracts from RGB; 0 for a
            `keras.applications` body that normalises its pixels itself.
        std: Three numbers by which the first layer then divides; 1 for such a body.
        name: The name of the model.
        dtype: A dtype policy or its name; the global one by default.

    Raises:
        ValueError: An argument is not what is expected; the message names it.

    Example:
        >>> model = PoseEstimator("coco", backbone="tiny", input_size=128)
        >>> found = model.predict(np.zeros((1, 128, 128, 3), np.uint8), verbose=0)
        >>> found["poses"].shape
        (1, 30, 17, 2)
    """

    # Outputs that `predict` leaves out.
    training_only = TRAINING_ONLY
    # Trained models that come with the package, by name.
    presets = PRESETS

    def __init__(
        self,
        skeleton: Skeleton | dict | str,
        backbone: str | keras.Model = "w32",
        input_size: int = 512,
        head: HeadSettings | dict | None = None,
        loss: LossSettings | dict | None = None,
        decoder: DecoderSettings | dict | None = None,
        batch_norm: BatchNormSettings | dict | None = None,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        name: str = "pose_estimator",
        dtype: Any = None,
    ) -> None:
        if isinstance(skeleton, str):
            skeleton = Skeleton.load(skeleton)
        elif isinstance(skeleton, dict):
            skeleton = Skeleton.from_dict(skeleton)
        head = group_of("head", head, HeadSettings)
        loss = group_of("loss", loss, LossSettings)
        decoder = group_of("decoder", decoder, DecoderSettings)
        batch_norm = group_of("batch_norm", batch_norm, BatchNormSettings)
        rgb_mean, rgb_std = rgb_numbers("mean", mean), rgb_numbers("std", std)
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        # Layers
        outer_policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            norm = batch_norm.to_dict()
            body = bodies.build_body(backbone, **norm)
            # Functional graph
            images = keras.Input((None, None, 3), dtype="float32", name="images")
            pixels = Normalise(rgb_mean, rgb_std, name="normalise")(images)
            branches = body(pixels)
            maps, features, offsets, encoding = build_head(
                branches, skeleton.num_keypoints, head, norm
            )
            detections = PoseDecoder(encoding, **decoder.to_dict(), name="decoder")(
                ranking(*maps.values()), features, offsets
            )
        finally:
            keras.config.set_dtype_policy(outer_policy)
        outputs = {
            **maps,
            **detections,
            "keypoint_features": features,
            "query_offsets": offsets,
        }
        super().__init__(images, outputs, name=name)

        # Config
        self.dtype_policy = policy
        self.skeleton = skeleton
        self.backbone = backbone if isinstance(backbone, str) else body
        self.input_size = input_size
        self.head_settings = head
        self.loss_settings = loss
        self.decoder_settings = decoder
        self.batch_norm_settings = batch_norm
        self.mean = rgb_mean
        self.std = rgb_std
        self.body = body
        self.encoding = encoding
        self.cir_target = CIRTargetLayer(
            skeleton.sigmas,
            loss.disc_radius,
            loss.background_weight,
            loss.instance_label,
            loss.gaussian_sigma,
            name="cir_target",
        )
        self.make_trackers()

    def decode(
        self, outputs: dict[str, Tensor], *, flip: bool = False, **decoding: Any
    ) -> dict[str, Tensor]:
        """Decodes outputs by other settings than the model's own.

        Args:
            outputs: Outputs of this model; with `flip`, of images and then of their
                mirror images.
            flip: Whether there are mirror images.
            **decoding: All settings of `DecoderSettings`.

        Returns:
            See `multi_view.detect`.
        """
        return decode_quality(self, outputs, flip=flip, **decoding)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this model again."""
        return {
            "skeleton": self.skeleton.to_dict(),
            "backbone": bodies.to_config(self.backbone),
            "input_size": self.input_size,
            "head": self.head_settings.to_dict(),
            "loss": self.loss_settings.to_dict(),
            "decoder": self.decoder_settings.to_dict(),
            "batch_norm": self.batch_norm_settings.to_dict(),
            "mean": [float(value) for value in self.mean],
            "std": [float(value) for value in self.std],
            "name": self.name,
            "dtype": self.dtype_policy.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "PoseEstimator":
        """Builds a model from `get_config`, or from a config of version 0.1."""
        arguments: dict[str, Any] = dict(grouped(config))
        body = bodies.from_config(arguments["backbone"], custom_objects)
        arguments["backbone"] = body
        return cls(**arguments)

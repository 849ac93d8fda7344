"""DEKR: the disentangled keypoint regression of Geng et al. (CVPR 2021)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, layers, ops

from qepose_tf.layers.adaptive_regression import AdaptiveRegression
from qepose_tf.layers.heat_decoder import HeatDecoder
from qepose_tf.layers.normalise import Normalise
from qepose_tf.models import bodies
from qepose_tf.models.dekr_settings import (
    DEKRDecoderSettings,
    DEKRHeadSettings,
    DEKRLossSettings,
)
from qepose_tf.models.dekr_training import DEKRTraining
from qepose_tf.models.head import general_feature
from qepose_tf.models.hrnet import Builder
from qepose_tf.models.multi_view import cells_of_views, mean_of_views, mean_poses
from qepose_tf.models.pixels import MEAN, STD, rgb_numbers
from qepose_tf.models.settings import BatchNormSettings, group_of
from qepose_tf.ops import decode, heat_decode
from qepose_tf.ops.facts import Tensor
from qepose_tf.skeleton import Skeleton


@keras.saving.register_keras_serializable("qepose_tf")
class DEKR(DEKRTraining):
    """DEKR's network: heatmaps, and a branch of adaptive convolutions per keypoint.

    It is the baseline of the paper's Tables 1 and 5, and takes the public weights of
    HRNet/DEKR and mmpose (`qepose_tf.weights.import_dekr`). It is a functional model
    with the inputs and outputs of `PoseEstimator`: from images `[B, H, W, 3]`, RGB in
    0..255 of any type with sides that are multiples of 32, to a dict of

    - `score_map` `[B, H/4, W/4, 1]`: the heatmap of people's centres,
    - `poses` `[B, P, K, 2]` (x, y) in input pixels, `scores` `[B, P]` descending and 0
      in empty rows, `keypoint_scores` `[B, P, K]`, `cells` `[B, P, 2]` (x, y),
    - `keypoint_heatmaps` `[B, H/4, W/4, K]` and `offset_features`; `predict` leaves
      them out.

    The branches are computed at the best cells alone. `displacement_map` computes them
    at every cell, with the same numbers.

    `fit` takes the facts that `PoseEstimator` takes. Compile the model with an
    optimizer and no loss, and train it with Adam at 1e-3 as HRNet/DEKR does.

    Args:
        skeleton: The keypoints: a `Skeleton`, its dict, or the name of a built-in one.
        backbone: A name of `models.bodies.named_bodies`, or a functional model, see
            `PoseEstimator`.
        input_size: Side of the training crop and short side at inference, in pixels.
        head: `DEKRHeadSettings` or a dict of them.
        loss: `DEKRLossSettings` or a dict of them.
        decoder: `DEKRDecoderSettings` or a dict of them.
        batch_norm: `BatchNormSettings` or a dict of them.
        mean: Three numbers in 0..255 that the first layer subtracts from RGB.
        std: Three numbers by which the first layer then divides.
        name: The name of the model.
        dtype: A dtype policy or its name; the global one by default.

    Raises:
        ValueError: An argument is not what is expected; the message names it.

    Example:
        >>> model = DEKR("coco", backbone="tiny", input_size=128)
        >>> found = model.predict(np.zeros((1, 128, 128, 3), np.uint8), verbose=0)
        >>> found["poses"].shape
        (1, 30, 17, 2)
    """

    # Outputs that `predict` leaves out.
    training_only = ("keypoint_heatmaps", "offset_features")

    def __init__(
        self,
        skeleton: Skeleton | dict | str,
        backbone: str | keras.Model = "w32",
        input_size: int = 512,
        head: DEKRHeadSettings | dict | None = None,
        loss: DEKRLossSettings | dict | None = None,
        decoder: DEKRDecoderSettings | dict | None = None,
        batch_norm: BatchNormSettings | dict | None = None,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        name: str = "dekr",
        dtype: Any = None,
    ) -> None:
        if isinstance(skeleton, str):
            skeleton = Skeleton.load(skeleton)
        elif isinstance(skeleton, dict):
            skeleton = Skeleton.from_dict(skeleton)
        head = group_of("head", head, DEKRHeadSettings)
        loss = group_of("loss", loss, DEKRLossSettings)
        decoder = group_of("decoder", decoder, DEKRDecoderSettings)
        batch_norm = group_of("batch_norm", batch_norm, BatchNormSettings)
        rgb_mean, rgb_std = rgb_numbers("mean", mean), rgb_numbers("std", std)
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        # Layers
        outer_policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            norm = batch_norm.to_dict()
            body = bodies.build_body(backbone, **norm)
            encoding = AdaptiveRegression(
                skeleton.num_keypoints, head.adaptive_blocks, **norm, name="encoding"
            )
            # Functional graph
            images = keras.Input((None, None, 3), dtype="float32", name="images")
            pixels = Normalise(rgb_mean, rgb_std, name="normalise")(images)
            centre, heatmaps, features = _head(
                body(pixels), skeleton.num_keypoints, head, norm
            )
            detections = HeatDecoder(encoding, **decoder.to_dict(), name="decoder")(
                centre, heatmaps, features
            )
        finally:
            keras.config.set_dtype_policy(outer_policy)
        outputs = {
            "score_map": centre,
            **detections,
            "keypoint_heatmaps": heatmaps,
            "offset_features": features,
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
        self.make_trackers()

    def displacement_map(
        self, outputs: dict[str, Tensor], training: bool | None = None
    ) -> Tensor:
        """Computes the displacements of every cell from the outputs of this model.

        Args:
            outputs: The outputs of this model.
            training: Whether batch statistics are used and the moving ones updated.

        Returns:
            `[B, H/4, W/4, K, 2]` float32 (x, y) in cells, from a cell to its keypoints.
        """
        return self.encoding.displacements(
            outputs["offset_features"], training=training
        )

    def decode(
        self, outputs: dict[str, Tensor], *, flip: bool = False, **decoding: Any
    ) -> dict[str, Tensor]:
        """Decodes outputs by other settings than the model's own.

        With `flip`, the heatmaps of an image and of its mirror image are averaged, and
        so are the two poses at the best cells of the average.

        Args:
            outputs: Outputs of this model; with `flip`, of images and then of their
                mirror images.
            flip: Whether there are mirror images.
            **decoding: All settings of `DEKRDecoderSettings`.

        Returns:
            See `multi_view.detect`.
        """
        centre, heatmaps = outputs["score_map"], outputs["keypoint_heatmaps"]
        width, swapped = ops.shape(centre)[2], self.skeleton.flip_permutation
        if flip:
            plain, mirrored = ops.split(heatmaps, 2)
            mirrored = ops.take(mirrored, list(swapped), axis=-1)
            centre = mean_of_views(centre)
            heatmaps = mean_of_views(ops.concatenate([plain, mirrored]))
        count = decoding.pop("max_detections")
        window = heat_decode.PROTOCOLS[decoding["protocol"]].peak_window
        scores, cells = decode.top_cells(heat_decode.peaks(centre, window), count)
        asked = cells_of_views(cells, width, flip)
        poses = self.encoding(outputs["offset_features"], asked)
        if flip:
            poses = mean_poses(poses, width, swapped)
        return heat_decode.people(scores, poses, cells, heatmaps, **decoding)

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
    ) -> "DEKR":
        """Builds a model from `get_config`."""
        arguments: dict[str, Any] = dict(config)
        body = bodies.from_config(config["backbone"], custom_objects)
        arguments["backbone"] = body
        return cls(**arguments)


def _head(
    branches: Sequence[KerasTensor],
    num_keypoints: int,
    settings: DEKRHeadSettings,
    norm: dict[str, Any],
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """Builds the heatmaps and the features of the branches on the maps of a body.

    Layers are named after the keys of DEKR's checkpoints.

    Returns:
        The centre heatmap `[B, H, W, 1]` and the keypoint heatmaps `[B, H, W, K]`, both
        linear float32, and the features `[B, H, W, K * C]`.
    """
    build = Builder(**norm)
    general = general_feature(branches)
    heat = build.conv_norm_relu(
        general,
        settings.heatmap_channels or branches[0].shape[-1],
        1,
        "transition_heatmap_0",
        "transition_heatmap_1",
    )
    heat = build.basic_block(heat, "head_heatmap_0_0")
    heatmaps = layers.Dense(
        num_keypoints + 1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        dtype="float32",
        name="head_heatmap_1",
    )(heat)
    features = build.conv_norm_relu(
        general,
        num_keypoints * settings.keypoint_channels,
        1,
        "transition_offset_0",
        "transition_offset_1",
    )
    return heatmaps[..., num_keypoints:], heatmaps[..., :num_keypoints], features

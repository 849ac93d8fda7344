"""Configuration as pydantic models.

Every field has a default, so a YAML file holds only what differs from the paper's
recipe. An unknown key or a wrong type is an error that names it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from qepose_tf.files.locations import Url, location

# Strict: `epochs: true` or `epochs: "3"` is a mistake, not a number.
Count = Annotated[int, Field(strict=True, ge=1)]
Natural = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
Flag = Annotated[bool, Field(strict=True)]
Names = Annotated[
    list[Annotated[str, Field(strict=True, min_length=1)]], Field(min_length=1)
]


def _place(value: Any) -> Path | Url:
    if not isinstance(value, str | Path | Url):
        raise ValueError("expected a path or a URL")
    return location(value)


Place = Annotated[
    Path | Url,
    pydantic.PlainValidator(_place),
    pydantic.PlainSerializer(str, return_type=str),
]


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, validate_default=True, protected_namespaces=()
    )


class HeadConfig(_Section):
    """`HeadSettings`: what stands behind the body, and the ablations' switches."""

    keypoint_channels: Count = 20
    instance_channels: Count = 64
    semantic_points: Natural = 9
    keypoint_query_encoding: Flag = True
    pose_query: Literal[
        "queries", "keypoints", "semantic_points", "automatic", "none"
    ] = "queries"
    quality_branch: Flag = False


class DecoderConfig(_Section):
    """`DecoderSettings`: how the best cells become people."""

    max_detections: Count = 30
    score_threshold: Fraction = 0.01
    nms_distance: NonNegative = 0.05


class BatchNormConfig(_Section):
    """`BatchNormSettings`: in a named body and in the head."""

    momentum: Fraction = 0.9
    synchronized: Flag = False


class ModelConfig(_Section):
    """Arguments of `PoseEstimator`."""

    backbone: Literal["tiny", "w18", "w32", "w48", "efficientnet_lite0"] = "w32"
    backbone_weights: Path | None = None  # training starts from them
    # Or from a whole model, a preset or a .keras file. Settings of `model` and `loss`
    # that the config does not name are then those of that model.
    start_from: Annotated[str, Field(strict=True)] | None = None
    input_size: Annotated[int, Field(strict=True, ge=64, multiple_of=64)] = 512
    head: HeadConfig = HeadConfig()
    decoder: DecoderConfig = DecoderConfig()
    batch_norm: BatchNormConfig = BatchNormConfig()
    mean: tuple[Finite, Finite, Finite] = (123.675, 116.28, 103.53)  # of RGB, 0 to 255
    std: tuple[Positive, Positive, Positive] = (58.395, 57.12, 57.375)

    @pydantic.model_validator(mode="after")
    def _check_start(self) -> "ModelConfig":
        if self.start_from and self.backbone_weights:
            raise ValueError("expected start_from or backbone_weights, got both")
        return self


class LossConfig(_Section):
    """`LossSettings`: weights and switches of Eq. 3 and Eq. 6."""

    disc_radius: Positive = 4.0
    instance_label: Literal["cir", "gaussian", "discrete"] = "cir"
    gaussian_sigma: Positive | None = None
    background_weight: NonNegative = 0.1
    score_weight: NonNegative = 1.0
    offset_weight: NonNegative = 1.0
    quality_weight: NonNegative = 1.0
    offset_beta: Positive = 1 / 9
    area_weighted: Flag = True
    score_normaliser: Literal["omega", "cells"] = "omega"


class DatasetConfig(_Section):
    """One dataset, a COCO file and its images or what `qepose prepare` made of them.

    Paths are relative to `data.root`; each may be a URL that TensorFlow reads.
    """

    annotations: Place | None = None
    images: Place | None = None
    tfrecords: Place | None = None
    limit: Count | None = None
    only_labelled: Flag = False  # leave out images without a labelled person
    categories: Names | None = None  # None: those of `data.categories`
    share: Positive | None = None  # of the batches, where several are trained together
    all_people_labelled: Flag | None = None  # None: the file says it of each image

    @pydantic.model_validator(mode="after")
    def _check_source(self) -> "DatasetConfig":
        places = ("annotations", "images", "tfrecords")
        named = [name for name in places if getattr(self, name) is not None]
        if named not in (["annotations", "images"], ["tfrecords"]):
            raise ValueError("expected either annotations and images, or tfrecords")
        return self


Datasets = Annotated[
    Annotated[DatasetConfig, pydantic.Tag("one")]
    | Annotated[list[DatasetConfig], pydantic.Tag("several")],
    pydantic.Discriminator(lambda v: "several" if isinstance(v, list) else "one"),
]


class SyntheticConfig(_Section):
    """Drawn scenes, written once to `folder` as COCO-format datasets."""

    train_scenes: Count = 2000
    val_scenes: Natural = 200  # 0: the training scenes are the validation scenes
    image_size: Count = 192
    min_people: Natural = 1
    max_people: Count = 4
    min_height: float = Field(0.35, ge=0.1, le=0.95)
    seed: Natural = 0
    folder: Path = Path("runs/data")

    @pydantic.model_validator(mode="after")
    def _check_people(self) -> "SyntheticConfig":
        if self.min_people > self.max_people:
            raise ValueError(f"expected min_people <= max_people ({self.max_people})")
        return self


class DataConfig(_Section):
    """Where images and labels come from: COCO files or synthetic scenes."""

    root: Place = Path(".")
    train: Datasets | None = None
    val: DatasetConfig | None = None
    synthetic: SyntheticConfig | None = None
    # Names of the categories of COCO files that are read, as one class; None reads all
    # that have keypoints, which must be the same.
    categories: Names | None = None
    # Side in pixels of people whose annotation has neither an area nor a box; None
    # derives it from the keypoints or the other people.
    person_size: Positive | None = None
    max_people: Count = 30
    min_area: NonNegative = 1024.0
    cache: Literal["memory", "none"] | Path = "none"
    strict: Flag = False
    exif: Literal["auto", "apply", "ignore"] = "auto"  # auto: as the sizes tell
    check_images: Literal["header", "decode", "none"] = "header"

    @pydantic.model_validator(mode="after")
    def _check_source(self) -> "DataConfig":
        if self.synthetic is not None and (self.train or self.val):
            raise ValueError("expected either synthetic or train and val, not both")
        if self.train == []:
            raise ValueError("expected at least one data set in train")
        if len({source.share is None for source in self.train_sources}) > 1:
            raise ValueError("expected a share for each data set in train, or for none")
        return self

    @property
    def train_sources(self) -> list[DatasetConfig]:
        """The data sets of `train`, one or several; empty where there is none."""
        if self.train is None:
            return []
        return self.train if isinstance(self.train, list) else [self.train]


class AugmentConfig(_Section):
    """Ranges of the random changes; zeros and `scale: [1, 1]` switch them off."""

    flip: Fraction = 0.5
    rotation: Annotated[float, Field(strict=True, ge=0, le=180)] = 30.0
    scale: tuple[Positive, Positive] = (0.75, 1.5)
    shift: NonNegative = 40.0
    person_crop: Fraction = 0.0  # share of crops that are laid about one person
    person_scale: tuple[Positive, Positive] = (1.1, 3.0)  # times the person's box
    brightness: Fraction = 0.4
    contrast: Fraction = 0.4
    saturation: Fraction = 0.4

    @pydantic.field_validator("scale", "person_scale")
    @classmethod
    def _check_scale(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError("expected [smallest, largest]")
        return scale


class TrainConfig(_Section):
    """Optimiser, schedule, strategy and the run's folder."""

    epochs: Count = 180
    batch_size: Count = 64
    accumulate: Count = 1  # parts that a device's share of a batch runs in
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: NonNegative = 0.0
    learning_rate: Positive = 5e-4
    schedule: Literal["step", "cosine"] = "step"
    drop_epochs: list[Count] = [150, 170]
    drop_factor: Positive = 0.1
    warmup_steps: Natural = 500
    freeze_backbone_epochs: Natural = 0
    # The body's layers up to this stride keep their weights for the whole run.
    freeze_to_stride: Literal[2, 4, 8, 16, 32] | None = None
    backbone_rate_factor: Positive = 1.0
    ema_momentum: Fraction | None = None
    gradient_clip_norm: Positive | None = None
    non_finite: Literal["stop", "skip"] = "stop"
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    strategy: Literal[
        "off", "one_device", "mirrored", "multi_worker_mirrored", "tpu"
    ] = "mirrored"
    num_gpus: Natural | None = None
    validate_every: Count = 10
    run_dir: Path | None = None
    steps_per_execution: Count = 1
    checkpoint_steps: Count = 500
    keep_checkpoints: Count = 3
    histograms: Flag = False
    deterministic: Flag = False  # equal to the bit on equal machines, and slower

    @pydantic.field_validator("drop_epochs")
    @classmethod
    def _check_drops(cls, drops: list[int]) -> list[int]:
        if any(late <= early for early, late in zip(drops, drops[1:], strict=False)):
            raise ValueError("expected epochs in rising order")
        return drops

    @pydantic.model_validator(mode="after")
    def _check_decay(self) -> "TrainConfig":
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError("expected optimizer adamw with a weight_decay")
        return self


class Config(_Section):
    """Everything a training run is made from; defaults are the paper's recipe."""

    name: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_.-]+$")]
    seed: Natural = 0
    skeleton: Annotated[str, Field(strict=True)] = "coco"
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()

    @property
    def run_dir(self) -> Path:
        """The run's folder: `train.run_dir`, or runs/NAME."""
        return self.train.run_dir or Path("runs") / self.name

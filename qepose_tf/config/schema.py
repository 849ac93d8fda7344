"""Configuration as pydantic models.

Every field has a default, so a YAML file holds only what differs from the paper's
recipe. An unknown key or a wrong type is an error that names it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from qepose_tf.config.networks import (
    DEKRLossConfig,
    DEKRModelConfig,
    LossConfig,
    ModelConfig,
)
from qepose_tf.config.values import (
    Count,
    Flag,
    Fraction,
    Names,
    Natural,
    NonNegative,
    Place,
    Positive,
    Section,
)


class DatasetConfig(Section):
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


class SyntheticConfig(Section):
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


class DataConfig(Section):
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


class AugmentConfig(Section):
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


class TrainConfig(Section):
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


class Config(Section):
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


class DEKRConfig(Config):
    """A config with `model.network: dekr`, whose other settings of both differ."""

    # Frozen, so that nobody can assign a section of the other kind.
    model: DEKRModelConfig = DEKRModelConfig()  # ty: ignore[incompatible-attribute-override]
    loss: DEKRLossConfig = DEKRLossConfig()  # ty: ignore[incompatible-attribute-override]


def config_class(values: dict[str, Any]) -> type[Config]:
    """Returns the class of a config, which `model.network` decides.

    Args:
        values: The document, which need not be valid.
    """
    model = values.get("model")
    network = model.get("network") if isinstance(model, dict) else None
    return DEKRConfig if network == "dekr" else Config

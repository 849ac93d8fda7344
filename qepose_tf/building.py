"""What a config decides: the data sets, and the model with fresh weights.

Data sets are COCO files, prepared TFRecords, or scenes that are drawn now.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qepose_tf.config.schema import Config, DatasetConfig
from qepose_tf.data.batches.mixture import mixture
from qepose_tf.data.coco.dataset import CocoDataset, read_coco
from qepose_tf.data.synthetic.dataset import write_scenes
from qepose_tf.data.tfrecord.dataset import read_tfrecords
from qepose_tf.files.locations import Url
from qepose_tf.models.pose_model import NETWORKS, PoseModel, network_of
from qepose_tf.models.reading import load_model
from qepose_tf.skeleton import Skeleton


def read_datasets(
    config: Config, skeleton: Skeleton
) -> tuple[CocoDataset, CocoDataset | None]:
    """Reads the training data and, where the config names some, the validation data.

    Raises:
        ValueError: No training data is named, it is not what it should be, or there is
            nobody in it to learn from.
        OSError: A file is missing, or the scenes cannot be written.
    """
    data = config.data
    if data.synthetic is not None:
        train = _scenes(config, skeleton, "train")
        train.check_learnable(data.min_area)
        if data.synthetic.val_scenes == 0:
            return train, train
        return train, _scenes(config, skeleton, "val")
    sources = data.train_sources
    if not sources:
        raise ValueError("no training data: expected data.train or data.synthetic")

    def read(source: DatasetConfig) -> CocoDataset:
        return read_dataset(
            source,
            data.root,
            skeleton,
            data.strict,
            categories=data.categories,
            person_size=data.person_size,
            exif=data.exif,
            check_images=data.check_images,
        )

    datasets = [read(source) for source in sources]
    val = None if data.val is None else read(data.val)
    for dataset in datasets:
        dataset.check_learnable(data.min_area)
    shares = [source.share for source in sources if source.share is not None]
    return mixture(datasets, shares or None), val


def read_dataset(
    source: DatasetConfig,
    root: Path | Url,
    skeleton: Skeleton,
    strict: bool = False,
    *,
    categories: Sequence[str] | None = None,
    person_size: float | None = None,
    exif: str = "auto",
    check_images: str = "header",
) -> CocoDataset:
    """Reads a COCO file or prepared TFRecords, whichever is named.

    Args:
        source: What to read.
        root: What its paths are relative to.
        skeleton: The keypoints that are expected.
        strict: Make every problem an error.
        categories: See `read_coco`, where the data set names none itself.
        person_size: See `read_coco`.
        exif: See `read_coco`.
        check_images: See `read_coco`; prepared images were checked before.

    Raises:
        ValueError: The data are not what they should be.
        OSError: A file is missing or cannot be read.
    """
    options: dict[str, Any] = {
        "categories": source.categories or categories,
        "person_size": person_size,
        "limit": source.limit,
        "only_labelled": source.only_labelled,
        "strict": strict,
        "exif": exif,
    }
    if source.tfrecords is not None:
        coco = read_tfrecords(root / source.tfrecords, skeleton, **options)
    elif source.annotations is not None and source.images is not None:
        annotations, images = root / source.annotations, root / source.images
        coco = read_coco(
            annotations, images, skeleton, check_images=check_images, **options
        )
    else:
        raise ValueError("expected either annotations and images, or tfrecords")
    if source.all_people_labelled is None:
        return coco
    everyone = source.all_people_labelled
    records = [replace(record, everyone_labelled=everyone) for record in coco.records]
    return replace(coco, records=records)


def _scenes(config: Config, skeleton: Skeleton, split: str) -> CocoDataset:
    scenes = config.data.synthetic
    if scenes is None:
        raise ValueError("expected data.synthetic, got none")
    count = scenes.train_scenes if split == "train" else scenes.val_scenes
    people = f"{scenes.min_people}-{scenes.max_people}people"
    size = f"{scenes.image_size}px-from{scenes.min_height:g}"
    name = f"{split}-{count}-{size}-{people}-seed{scenes.seed}"
    # Even seeds for training, odd ones for validation: no scene is in both.
    seed = 2 * scenes.seed + (split == "val")
    annotations, images = write_scenes(
        scenes.folder / name,
        count,
        scenes.image_size,
        min_people=scenes.min_people,
        max_people=scenes.max_people,
        min_height=scenes.min_height,
        seed=seed,
    )
    return read_coco(annotations, images, skeleton, strict=config.data.strict)


def started(config: Config) -> Config:
    """Returns the config with the settings of the model that it starts from.

    Settings of `model` and `loss` that the config does not name are those of
    `model.start_from`; without a model to start from, the config stays as it is.

    Raises:
        ValueError: `model.start_from` is no model, or its backbone has no name that a
            config could say.
        FileNotFoundError: There is no such file.
    """
    if config.model.start_from is None:
        return config
    source = start_of(config)
    if not isinstance(source.backbone, str):
        raise ValueError(
            f"model.start_from: {config.model.start_from}: expected a named backbone, "
            f"got the model {source.backbone_name!r}; use PoseEstimator.from_preset "
            "in Python"
        )
    if network_of(source) != config.model.network:
        raise ValueError(
            f"model.start_from: {config.model.start_from}: expected a model of "
            f"model.network = {config.model.network}, got {network_of(source)}"
        )
    settings = source.get_config()
    named = config.model_dump(exclude_unset=True, include={"model", "loss"})
    model = {
        name: settings[name]
        for name in type(config.model).model_fields.keys() & settings
    }
    filled = {
        "model": _filled(model, named["model"]),
        "loss": _filled(settings["loss"], named.get("loss", {})),
    }
    return type(config).model_validate(config.model_dump(exclude_unset=True) | filled)


def start_of(config: Config) -> PoseModel:
    """Loads the model that a config starts from.

    Raises:
        ValueError: `model.start_from` is no model.
        FileNotFoundError: There is no such file.
    """
    start = config.model.start_from
    if start is None:
        raise ValueError("model.start_from: expected a model, got none")
    try:
        return load_model(start)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"model.start_from: {error}") from None


def _filled(defaults: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """The named values, and the defaults where none is named, group by group."""
    groups = {
        name: _filled(defaults[name], value)
        for name, value in named.items()
        if isinstance(value, dict)
    }
    return defaults | named | groups


def build_model(config: Config, skeleton: Skeleton) -> PoseModel:
    """The model of a config, with fresh weights."""
    return new_model(started(config), skeleton)


def new_model(config: Config, skeleton: Skeleton) -> PoseModel:
    """The model of a config that names everything, as `started` returns it."""
    return NETWORKS[config.model.network](skeleton, **model_settings(config))


def model_settings(config: Config) -> dict[str, Any]:
    """The arguments of a network that a config decides, but for the skeleton."""
    apart = {"network", "backbone_weights", "start_from"}
    return config.model.model_dump(exclude=apart) | {"loss": config.loss.model_dump()}

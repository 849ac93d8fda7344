"""The datasets of a config: COCO files, or synthetic scenes written on demand."""

from qepose_tf.config import Config, DatasetConfig
from qepose_tf.data.coco import CocoDataset, read_coco
from qepose_tf.data.synthetic import write_scenes
from qepose_tf.skeleton import Skeleton


def read_datasets(
    config: Config, skeleton: Skeleton
) -> tuple[CocoDataset, CocoDataset | None]:
    """Reads the training data and, where the config names some, the validation data.

    Raises:
        ValueError: No training data is named, or it is not what it should be.
        OSError: A file is missing, or the scenes cannot be written.
    """
    data = config.data
    if data.synthetic is not None:
        train = _scenes(config, skeleton, "train")
        if data.synthetic.val_scenes == 0:
            return train, train
        return train, _scenes(config, skeleton, "val")
    if data.train is None:
        raise ValueError("no training data: expected data.train or data.synthetic")
    val = None if data.val is None else _coco(config, skeleton, data.val)
    return _coco(config, skeleton, data.train), val


def _coco(config: Config, skeleton: Skeleton, source: DatasetConfig) -> CocoDataset:
    root = config.data.root
    return read_coco(
        root / source.annotations,
        root / source.images,
        skeleton,
        limit=source.limit,
        only_labelled=source.only_labelled,
        strict=config.data.strict,
    )


def _scenes(config: Config, skeleton: Skeleton, split: str) -> CocoDataset:
    scenes = config.data.synthetic
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

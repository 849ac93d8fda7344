"""What the data must have before a model is trained on them.

All of it is looked at before the first step: an error in the validation data would
otherwise end a run at its first validation, epochs later.
"""

import logging

import numpy as np

from qepose_tf.building import read_datasets
from qepose_tf.config.schema import Config
from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.evaluation.evaluate import coco_metrics
from qepose_tf.skeleton import Skeleton

logger = logging.getLogger(__name__)


def checked_datasets(
    config: Config, skeleton: Skeleton
) -> tuple[CocoDataset, CocoDataset | None]:
    """Reads the data of a run and makes sure that it can be trained and validated.

    Raises:
        ValueError: There is nothing to learn from, or the data are not what they should
            be.
        OSError: A file is missing or cannot be read.
    """
    train, val = read_datasets(config, skeleton)
    check_training_data(train, config.data.min_area)
    if val is None:
        logger.warning("no validation data (data.val): no AP, no best.keras")
    else:
        check_validation_data(val)
    check_flip_pairs(config, skeleton)
    return train, val


def check_training_data(data: CocoDataset, min_area: float) -> None:
    """Makes sure that somebody in the training data teaches anything.

    Args:
        data: The training data, one data set or a mixture.
        min_area: The area below which nobody is learned, in original pixels squared.

    Raises:
        ValueError: Nobody does; the line names `data.min_area` and what was found.
    """
    areas = np.concatenate([record.area for record in data.records] or [np.zeros(0)])
    if (areas >= min_area).any():
        return
    where = f"{data.path}: nothing to learn from: none of the {len(data)} images shows"
    if not len(areas):
        raise ValueError(
            f"{where} a person with a labelled keypoint of any area (data.min_area "
            f"asks for {min_area:g} px^2); check the file's annotations, their "
            "category_id and image_id"
        )
    raise ValueError(
        f"{where} a person of data.min_area = {min_area:g} px^2 or more, the "
        f"{len(areas)} labelled people have {areas.min():.4g} to {areas.max():.4g} "
        "px^2; with data.min_area=0 all of them are learned"
    )


def check_validation_data(data: CocoDataset) -> None:
    """Makes sure that figures can be computed from the validation data.

    A data set on which AP is undefined is a warning: training needs no figures.

    Raises:
        ValueError: The figures cannot be computed from these annotations.
        OSError: The annotations cannot be read.
    """
    if coco_metrics(data, [], explained=False)["AP"] >= 0:
        return
    logger.warning(
        "%s: AP cannot be computed, because none of the %d images shows a person that "
        "counts (labelled keypoints, no crowd): there will be no best.keras",
        *(data.path, len(data)),
    )


def check_flip_pairs(config: Config, skeleton: Skeleton) -> None:
    """Warns where pictures are mirrored and no two keypoints change places.

    A skeleton that says `flip_pairs: []` has none, and so has a single keypoint.
    """
    if config.augment.flip == 0 or skeleton.flip_pairs or skeleton.flip_pairs_given:
        return
    if skeleton.num_keypoints == 1:
        return
    logger.warning(
        "skeleton %r: pictures are mirrored (augment.flip=%g), and no keypoint is "
        "known to change places with another: %s; list left and right as flip_pairs "
        "in a YAML skeleton, or write flip_pairs: [] if there are none",
        *(skeleton.name, config.augment.flip, ", ".join(skeleton.keypoints)),
    )

"""Checks the training and validation data before the first step.

Without these checks, an error in the validation data would end a run at its first
validation, epochs later.
"""

import logging

from qepose_tf.building import read_datasets
from qepose_tf.config.schema import Config
from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.evaluation.evaluate import coco_metrics
from qepose_tf.skeleton import Skeleton

logger = logging.getLogger(__name__)


def checked_datasets(
    config: Config, skeleton: Skeleton
) -> tuple[CocoDataset, CocoDataset | None]:
    """Reads the training and the validation data of a run and checks them.

    Returns:
        The training data, and the validation data or None if the config has none.

    Raises:
        ValueError: The data are invalid, or no person in them can be learned from.
        OSError: A file is missing or cannot be read.
    """
    train, val = read_datasets(config, skeleton)
    if val is None:
        logger.warning(
            "data.val is not set: AP is not computed and best.keras is not written"
        )
    else:
        check_validation_data(val)
    check_flip_pairs(config, skeleton)
    return train, val


def check_validation_data(data: CocoDataset) -> None:
    """Checks that COCO's metrics can be computed from the validation data.

    If AP is undefined on the data, a warning is logged, because training needs no AP.

    Raises:
        ValueError: The metrics cannot be computed from these annotations.
        OSError: The annotations cannot be read.
    """
    if coco_metrics(data, [], explained=False)["AP"] >= 0:
        return
    logger.warning(
        "%s: AP cannot be computed, because none of the %d images shows a person that "
        "counts (labelled keypoints, no crowd); best.keras is not written",
        *(data.path, len(data)),
    )


def check_flip_pairs(config: Config, skeleton: Skeleton) -> None:
    """Warns if images are mirrored and the skeleton has no flip pairs.

    There is no warning for a skeleton with `flip_pairs: []` or a single keypoint.
    """
    if config.augment.flip == 0 or skeleton.flip_pairs or skeleton.flip_pairs_given:
        return
    if skeleton.num_keypoints == 1:
        return
    logger.warning(
        "skeleton %r: pictures are mirrored (augment.flip=%g), but no flip pairs are "
        "known for its keypoints %s; list left and right as flip_pairs in a YAML "
        "skeleton, or write flip_pairs: [] if there are none",
        *(skeleton.name, config.augment.flip, ", ".join(skeleton.keypoints)),
    )

"""What the data must have before a model is trained on them.

All of it is looked at before the first step: an error in the validation data would
otherwise end a run at its first validation, epochs later.
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
    """Reads the data of a run and makes sure that it can be trained and validated.

    The readers make sure that there is somebody to learn from.

    Raises:
        ValueError: There is nothing to learn from, or the data are not what they should
            be.
        OSError: A file is missing or cannot be read.
    """
    train, val = read_datasets(config, skeleton)
    if val is None:
        logger.warning("no validation data (data.val): no AP, no best.keras")
    else:
        check_validation_data(val)
    check_flip_pairs(config, skeleton)
    return train, val


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

"""Several data sets in one training, each with its share of the batches."""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from qepose_tf.data.coco.dataset import CocoDataset

logger = logging.getLogger(__name__)


def mixture(
    datasets: Sequence[CocoDataset], shares: Sequence[float] | None = None
) -> CocoDataset:
    """Data sets as one, whose batches hold a share of each.

    Args:
        datasets: One or more, of the same keypoints.
        shares: A positive number for each; only their ratios matter. None takes the
            numbers of images, so that each image is seen equally often.

    Returns:
        A data set with the records of all, in this order. A single data set is
        returned as it is.

    Raises:
        ValueError: There is no data set, shares and data sets differ in number, a
            share is not positive, or the skeletons differ.

    Example:
        >>> both = mixture([photographs, drawings], shares=[3, 1])  # doctest: +SKIP
    """
    if not datasets or (shares is not None and len(shares) != len(datasets)):
        raise ValueError(
            f"expected a share for each of {len(datasets)} data sets, got {shares}"
        )
    if len(datasets) == 1:
        return datasets[0]
    keypoints = datasets[0].skeleton.keypoints
    for dataset in datasets[1:]:
        if dataset.skeleton.keypoints != keypoints:
            raise ValueError(
                f"{dataset.path}: expected the keypoints of {datasets[0].path}, "
                f"{keypoints}, got {dataset.skeleton.keypoints}"
            )
    sizes = [len(dataset.records) for dataset in datasets]
    weights = np.array(sizes if shares is None else shares, np.float64)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"expected positive shares, got {weights.tolist()}")
    fractions = (weights / weights.sum()).tolist()
    _tell(datasets, fractions)
    return dataclasses.replace(
        datasets[0],
        records=[record for dataset in datasets for record in dataset.records],
        parts=tuple(zip(sizes, fractions, strict=True)),
    )


def _tell(datasets: Sequence[CocoDataset], fractions: Sequence[float]) -> None:
    """Says of each data set what it contributes."""
    for dataset, fraction in zip(datasets, fractions, strict=True):
        records = dataset.records
        people = sum(len(record.area) for record in records)
        partly = sum(not record.everyone_labelled for record in records)
        labelled = np.zeros(dataset.skeleton.num_keypoints, np.int64)
        for record in records:
            labelled += (record.keypoints[..., 2] > 0).sum(axis=0)
        never = [
            name
            for name, count in zip(dataset.skeleton.keypoints, labelled, strict=True)
            if not count
        ]
        logger.info(
            "%s: %.0f %% of the batches, %d images, %d people, %d keypoints%s%s",
            *(dataset.path, 100 * fraction, len(records), people, labelled.sum()),
            f", background unknown in {partly} images" if partly else "",
            f", never labelled: {', '.join(never)}" if never else "",
        )

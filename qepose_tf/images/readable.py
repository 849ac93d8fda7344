"""Reads a list of photos and leaves out those that are broken."""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from qepose_tf.images.decoding import read_image

logger = logging.getLogger(__name__)


def readable_images(
    files: Iterable[Path], count: int | None = None
) -> dict[Path, np.ndarray]:
    """Decodes photos upright; broken ones are left out with a warning.

    Args:
        files: The paths of the photos.
        count: The number of images after which reading stops; None reads all files.

    Returns:
        The images, `[H, W, 3]` uint8, by file, in the order of the files.

    Raises:
        ValueError: None of the files can be read.
    """
    images: dict[Path, np.ndarray] = {}
    faults: list[str] = []
    for file in files:
        if len(images) == count:
            break
        try:
            images[file] = read_image(file, exif=True)
        except (OSError, ValueError) as error:
            logger.warning("%s; left out", error)
            faults.append(str(error))
    if faults and not images:
        raise ValueError(
            f"none of {len(faults)} pictures could be read, the first: {faults[0]}"
        )
    return images

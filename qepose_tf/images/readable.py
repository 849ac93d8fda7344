"""The first pictures of a list that can be read."""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from qepose_tf.images.decoding import read_image

logger = logging.getLogger(__name__)


def readable_images(
    files: Iterable[Path], count: int | None = None
) -> dict[Path, np.ndarray]:
    """Decodes photos upright; a broken one is warned about and left out.

    Args:
        files: Where they are.
        count: Stop after so many; None reads all.

    Returns:
        `[H, W, 3]` uint8 by file, in order.

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

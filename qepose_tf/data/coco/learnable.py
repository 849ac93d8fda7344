"""Whether a data set has somebody to learn from."""

import numpy as np


def check_learnable(
    source: str, images: int, areas: np.ndarray, min_area: float, setting: str
) -> None:
    """Raises `ValueError` where no person is learned.

    Args:
        source: The file that the message names.
        images: How many there are.
        areas: `[N]` of the people in them, in pixels squared.
        min_area: Smaller people are not learned.
        setting: The name of `min_area` that the message tells.
    """
    if not len(areas):
        raise ValueError(
            f"{source}: nothing to learn from: expected people with a labelled "
            f"keypoint inside their image, got none in {images} images"
        )
    if (areas >= min_area).any():
        return
    low, middle, high = np.quantile(areas, (0.0, 0.5, 1.0))
    raise ValueError(
        f"{source}: nothing to learn from: all {len(areas)} people are smaller than "
        f"{setting}={min_area:g} px^2, their areas are {low:.4g} to {high:.4g} "
        f"px^2 (median {middle:.4g}); lower {setting}, for example to 0"
    )

"""The area of a person whose annotation gives none."""

from collections.abc import Sequence

import numpy as np

# CrowdPose's evaluator and its descendants (xtcocotools, mmpose) take this share of
# the box for the area in OKS. COCO's outlines fill 0.525 of their boxes on average
# (1,354 people of val2017 with keypoints).
BOX_SHARE = 0.53


def estimated_area(box: Sequence[float] | None, points: np.ndarray) -> float:
    """What stands in for an annotated area, in OKS and in targets alike.

    Args:
        box: (x, y, width, height); None where there is none.
        points: `[N, 2]` the labelled keypoints.

    Returns:
        `BOX_SHARE` of the box; without a box that covers anything the area that the
        keypoints span; 0 without both.
    """
    if box is not None and box[2] > 0 and box[3] > 0:
        return BOX_SHARE * float(box[2]) * float(box[3])
    if not len(points):
        return 0.0
    # Points are pixels' centres: one pixel more than their distance is covered.
    return float(np.prod(np.ptp(points, axis=0) + 1.0))

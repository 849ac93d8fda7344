"""Keypoints outside of the box of their person."""

import numpy as np

from qepose_tf.doctor.finding import Finding
from qepose_tf.doctor.people import People
from qepose_tf.skeleton import Skeleton

# Boxes are drawn around what can be seen, so a hidden ankle may lie well below one;
# a visible keypoint lies outside by the breadth of a hand at most. Shares of the box's
# longer side.
_VISIBLE_MARGIN = 0.08
_HIDDEN_MARGIN = 0.5
_PIXELS = 3.0  # below which nobody places a box


def outside_box(people: People, skeleton: Skeleton) -> list[Finding]:
    """People with keypoints that lie clearly outside of their box.

    Args:
        people: Of a data set; those without a box are not judged.
        skeleton: What the keypoints are.
    """
    low, size = people.boxes[:, None, :2], people.boxes[:, None, 2:]
    points = people.keypoints[..., :2]
    beyond = np.maximum(low - points, points - (low + size)).max(axis=-1)  # [N, K]
    longer = people.boxes[:, 2:].max(axis=-1, initial=0)[:, None]
    margin = np.where(people.visible, _VISIBLE_MARGIN, _HIDDEN_MARGIN) * longer
    has_box = np.all(people.boxes[:, 2:] > 0, axis=-1)
    bad = people.labelled & (beyond > np.maximum(margin, _PIXELS)) & has_box[:, None]
    findings = []
    for row in np.flatnonzero(bad.any(axis=-1)):
        indices = np.flatnonzero(bad[row])
        worst = indices[np.argmax(beyond[row, indices])]
        others = f" and {len(indices) - 1} more" if len(indices) > 1 else ""
        why = (
            f"{skeleton.keypoints[worst]}{others}: "
            f"{beyond[row, worst]:.0f} px outside the box"
        )
        findings.append(
            Finding(
                *("outside_box", int(people.picture[row]), why),
                *(float(beyond[row, worst] / longer[row, 0]), (int(row),)),
                tuple(indices.tolist()),
            )
        )
    return findings

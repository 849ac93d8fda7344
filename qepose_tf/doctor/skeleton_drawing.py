"""The skeleton as an SVG: one person of the data set, with the flip pairs joined."""

from html import escape

import numpy as np

from qepose_tf.doctor.people import People
from qepose_tf.skeleton import Skeleton

_SIDE, _MARGIN = 320.0, 26.0
_ROUND = np.pi * (3 - np.sqrt(5))  # the golden angle, for keypoints nobody labelled


def draw_skeleton(skeleton: Skeleton, people: list[People]) -> str:
    """Draws the limbs, the keypoints by number, and each flip pair as a dashed line.

    The pose is that of a labelled person whose keypoints lie well apart. Keypoints
    that this person lacks stand in a circle.

    Args:
        skeleton: To draw.
        people: Of all data sets.
    """
    points = _place(_clearest(skeleton, people))
    number = {name: index for index, name in enumerate(skeleton.keypoints)}
    left = {first for first, _ in skeleton.flip_pairs}
    right = {second for _, second in skeleton.flip_pairs}
    side = {
        name: "l" if name in left else "r" if name in right else "m"
        for name in skeleton.keypoints
    }
    lines = []
    for first, second in skeleton.flip_pairs:
        lines.append(_line(points[number[first]], points[number[second]], "pair"))
    for first, last in skeleton.limbs:
        kind = side[first] if side[first] == side[last] else "m"
        lines.append(_line(points[number[first]], points[number[last]], f"limb {kind}"))
    for index, name in enumerate(skeleton.keypoints):
        x, y = points[index]
        lines.append(
            f'<g class="joint {side[name]}"><title>{escape(name)}</title>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
            f'<text x="{x:.1f}" y="{y + 3.6:.1f}">{index + 1}</text></g>'
        )
    width, height = points.max(axis=0) + _MARGIN
    return (
        f'<svg class="skeleton" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="The skeleton {escape(skeleton.name)}">{"".join(lines)}</svg>'
    )


def _line(start: np.ndarray, end: np.ndarray, kind: str) -> str:
    (x, y), (x2, y2) = start, end
    return (
        f'<line class="{kind}" x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
    )


def _clearest(skeleton: Skeleton, people: list[People]) -> np.ndarray:
    """`[K, 2]`: the best of the people with most keypoints; NaN where it has none."""
    best, best_value = np.full((skeleton.num_keypoints, 2), np.nan), (0, 0.0)
    for group in people:
        counts = group.labelled.sum(axis=-1)
        for row in np.flatnonzero(counts == counts.max(initial=1))[:200]:
            points = group.keypoints[row, :, :2]
            known = points[group.labelled[row]]
            extent = np.ptp(known, axis=0).max(initial=0)
            apart = np.linalg.norm(known[:, None] - known, axis=-1)
            apart[np.diag_indices(len(known))] = np.inf
            nearest = apart.min(axis=1) / max(extent, 1e-6)
            value = (len(known), float(nearest[np.isfinite(nearest)].sum()))
            if value > best_value:
                shown = np.where(group.labelled[row, :, None], points, np.nan)
                best, best_value = shown, value
    return best


def _place(points: np.ndarray) -> np.ndarray:
    known = np.all(np.isfinite(points), axis=-1)
    low = np.nanmin(points, axis=0) if known.any() else np.zeros(2)
    extent = float(np.nanmax(points - low)) if known.any() else 0.0
    placed = (points - low) * ((_SIDE - 2 * _MARGIN) / max(extent, 1e-6)) + _MARGIN
    angle = np.arange(len(points)) * _ROUND
    around = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * (_SIDE / 2 - _MARGIN)
    return np.where(known[:, None], placed, _SIDE / 2 + around)

"""Draws poses on images, with different colours for left and right."""

from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from qepose_tf.skeleton import Skeleton

Colour = tuple[int, int, int]

# Colour-blind people can distinguish blue, orange and green-yellow, too.
LEFT: Colour = (40, 150, 255)
RIGHT: Colour = (255, 120, 20)
MIDDLE: Colour = (225, 235, 70)
_OUTLINE: Colour = (15, 15, 15)
# The colours of people for skeletons without flip pairs.
PEOPLE: tuple[Colour, ...] = (
    *((40, 150, 255), (255, 120, 20), (90, 220, 90), (240, 80, 180)),
    *((225, 235, 70), (120, 230, 230), (190, 120, 255), (255, 90, 90)),
)
_SHIFT = 4  # OpenCV draws at 16ths of a pixel


class _Label(NamedTuple):
    """The text beside a person, and the keypoints and joint radius of the person."""

    points: np.ndarray
    text: str
    radius: float


def draw_poses(
    image: np.ndarray,
    poses: np.ndarray,
    scores: np.ndarray,
    skeleton: Skeleton,
    *,
    min_score: float = 0.2,
    keypoint_visible: np.ndarray | None = None,
    label: bool = False,
    ids: np.ndarray | None = None,
) -> np.ndarray:
    """Draws poses on an image; the pose with the highest score is on top.

    The first keypoint of each flip pair is blue and the second one orange, and so are
    the limbs between keypoints of one side. Other keypoints and limbs are yellow. If
    the skeleton has no flip pairs, each person has a colour.

    Args:
        image: `[H, W, 3]` uint8.
        poses: `[P, K, 2]` (x, y) in pixels.
        scores: `[P]`.
        skeleton: The skeleton with K keypoints, their flip pairs and limbs.
        min_score: Poses with a lower score are not drawn.
        keypoint_visible: `[P, K]`. Keypoints for which it is False or 0 are not drawn;
            keypoints that are not finite are never drawn.
        label: Whether the score is written beside each person.
        ids: `[P]` numbers that are written beside the people; None for none.

    Returns:
        A new image `[H, W, 3]` uint8. Pixels away from the poses are unchanged.

    Raises:
        ValueError: The shapes of the arrays do not match.
    """
    image, poses = np.asarray(image), np.asarray(poses, np.float64)
    scores = np.asarray(scores)
    visible = np.asarray(np.isfinite(poses).all(axis=-1))
    _check(image, poses, scores, skeleton)
    if keypoint_visible is not None:
        keypoint_visible = np.asarray(keypoint_visible)
        if keypoint_visible.shape != visible.shape:
            raise ValueError(
                f"keypoint_visible: expected shape {visible.shape}, "
                f"got {keypoint_visible.shape}"
            )
        visible &= keypoint_visible > 0
    height, width = image.shape[:2]
    drawn = np.ascontiguousarray(image).copy()
    labels: list[_Label] = []
    for person in np.argsort(scores, kind="stable"):
        shown = visible[person]
        if not scores[person] >= min_score or not shown.any():
            continue
        # OpenCV cannot draw to very large coordinates.
        limit = 4.0 * max(height, width)
        points = np.where(shown[:, None], poses[person], 0.0).clip(-limit, limit)
        radius = _joint_radius(points[shown], height, width)
        _draw_person(drawn, points, shown, skeleton, radius, int(person))
        if label or ids is not None:
            text = [] if ids is None else [str(ids[person])]
            text += [f"{scores[person]:.2f}"] if label else []
            labels.append(_Label(points[shown], " ".join(text), radius))
    return _labelled(drawn, labels) if labels else drawn


def _check(
    image: np.ndarray, poses: np.ndarray, scores: np.ndarray, skeleton: Skeleton
) -> None:
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"image: expected [H, W, 3] uint8, got {list(image.shape)} {image.dtype}"
        )
    expected = (len(scores), skeleton.num_keypoints, 2)
    if poses.shape != expected:
        raise ValueError(
            f"poses: expected {expected} for {len(scores)} scores and the skeleton "
            f"{skeleton.name}, got {poses.shape}"
        )


def _joint_radius(points: np.ndarray, height: int, width: int) -> float:
    """Returns a joint's radius in pixels; it is smaller for small people and images."""
    person = np.linalg.norm(np.ptp(points, axis=0))
    largest = 1.0 + 0.006 * max(height, width)
    if len(points) == 1:  # a single keypoint has no extent
        return 1.0 + 0.5 * (largest - 1.0)
    return float(np.clip(0.016 * person, 1.0, largest))


def _colours(skeleton: Skeleton, person: int) -> list[Colour]:
    if not skeleton.flip_pairs:
        return [PEOPLE[person % len(PEOPLE)]] * skeleton.num_keypoints
    sides = {left: LEFT for left, _ in skeleton.flip_pairs}
    sides |= {right: RIGHT for _, right in skeleton.flip_pairs}
    return [sides.get(name, MIDDLE) for name in skeleton.keypoints]


def _draw_person(
    paint: np.ndarray,
    points: np.ndarray,
    shown: np.ndarray,
    skeleton: Skeleton,
    radius: float,
    person: int,
) -> None:
    colours = _colours(skeleton, person)
    rim = max(0.45 * radius, 1.0)
    limbs = [(a, b) for a, b in skeleton.limb_indices if shown[a] and shown[b]]
    joints = np.flatnonzero(shown)
    # A dark outline separates the colours from any background.
    for first, last in limbs:
        _draw_limb(paint, points[[first, last]], 0.6 * radius + rim, _OUTLINE)
    for joint in joints:
        _draw_disc(paint, points[joint], radius + rim, _OUTLINE)
    for first, last in limbs:
        same = colours[first] == colours[last]
        colour = colours[first] if same else MIDDLE
        _draw_limb(paint, points[[first, last]], 0.6 * radius, colour)
    for joint in joints:
        _draw_disc(paint, points[joint], radius, colours[joint])


def _draw_limb(
    paint: np.ndarray, ends: np.ndarray, radius: float, colour: Colour
) -> None:
    along = ends[1] - ends[0]
    length = np.linalg.norm(along)
    if length == 0:
        return
    across = np.array([-along[1], along[0]]) * (radius / length)
    corners = (ends[0] + across, ends[1] + across, ends[1] - across, ends[0] - across)
    cv2.fillConvexPoly(paint, _fixed(corners), colour, cv2.LINE_AA, _SHIFT)


def _draw_disc(
    paint: np.ndarray, centre: np.ndarray, radius: float, colour: Colour
) -> None:
    x, y = _fixed(centre).tolist()
    size = int(_fixed(radius))
    cv2.circle(paint, (x, y), size, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _fixed(values: object) -> np.ndarray:
    """Numbers in the parts of a pixel that OpenCV counts in."""
    return np.round(np.asarray(values) * 2**_SHIFT).astype(np.int32)


def _labelled(image: np.ndarray, labels: list[_Label]) -> np.ndarray:
    drawn = Image.fromarray(image)
    paint = ImageDraw.Draw(drawn)
    for points, text, radius in labels:
        size = max(5.0 * radius, 12.0)
        x, y = points.min(axis=0) - (0.0, 1.6 * size)
        paint.text(
            (max(x, 0.0), max(y, 0.0)),
            text,
            fill=(255, 255, 255),
            font_size=size,
            stroke_width=max(int(size / 8), 1),
            stroke_fill=_OUTLINE,
        )
    return np.array(drawn)

"""Articulated people in three dimensions, seen by an orthographic camera.

The body frame has x to the person's left, y up and z out of the chest. A viewer who
faces the person therefore sees the person's left on the right of the picture. One unit
is the height of the person standing upright.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

HEAD_RADIUS = 0.075
_SHOULDER_HALF_WIDTH = 0.115
_HIP_HALF_WIDTH = 0.065
_SPINE = 0.30
_NECK = 0.115
_UPPER_ARM, _FOREARM, _HAND = 0.165, 0.145, 0.055
_THIGH, _SHIN, _FOOT = 0.245, 0.235, 0.085

# Places on the head in head radii: (left, up, forward).
_FACE = {
    "nose": (0.0, -0.12, 1.05),
    "left_eye": (0.40, 0.18, 0.90),
    "right_eye": (-0.40, 0.18, 0.90),
    "left_ear": (1.0, 0.0, -0.10),
    "right_ear": (-1.0, 0.0, -0.10),
    "hair": (0.0, 0.25, -0.35),
    "hair_end": (0.0, -1.5, -0.75),
}

Range = tuple[float, float]


class ArmStyle(NamedTuple):
    """Ranges in degrees of one arm's joint angles; 0 hangs straight down."""

    flexion: Range
    abduction: Range
    elbow: Range
    twist: Range


class LegStyle(NamedTuple):
    """Ranges in degrees of the legs' joint angles; `stride` parts left and right."""

    flexion: Range
    abduction: Range
    knee: Range
    stride: Range


ARM_STYLES = {
    "hanging": ArmStyle((-20, 25), (4, 22), (0, 40), (-20, 40)),
    "raised": ArmStyle((-10, 30), (110, 170), (0, 70), (-60, 60)),
    "sideways": ArmStyle((-20, 30), (50, 100), (0, 110), (-90, 90)),
    "forward": ArmStyle((40, 110), (0, 30), (0, 110), (0, 60)),
    "akimbo": ArmStyle((-35, -10), (32, 52), (75, 110), (60, 90)),
}
LEG_STYLES = {
    "standing": LegStyle((-6, 8), (1, 12), (0, 10), (0, 0)),
    "walking": LegStyle((-5, 10), (0, 6), (5, 45), (10, 32)),
    "sitting": LegStyle((70, 95), (3, 22), (65, 100), (0, 0)),
    "lunging": LegStyle((-10, 40), (5, 35), (0, 90), (0, 35)),
}
_ARM_ODDS = (0.40, 0.20, 0.16, 0.14, 0.10)
_LEG_ODDS = (0.42, 0.26, 0.16, 0.16)


@dataclass(frozen=True)
class Body:
    """One person's joints as the camera sees them.

    Attributes:
        points: name -> (x to the right, y down, z towards the camera), in heights of
            the standing person; the hips' middle is the origin.
        from_behind: whether the person looks away from the camera.
    """

    points: dict[str, np.ndarray]
    from_behind: bool


def rotation(axis: str, degrees: float) -> np.ndarray:
    """Returns the right-handed rotation matrix [3, 3] about one coordinate axis."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def random_body(rng: np.random.Generator, behind_odds: float = 0.2) -> Body:
    """Draws a person: joint angles within plausible limits, and a direction of view."""
    leg_style = rng.choice(list(LEG_STYLES), p=_LEG_ODDS)
    points = torso_and_head(rng)
    points |= _legs(rng, LEG_STYLES[leg_style])
    styles = rng.choice(list(ARM_STYLES), size=2, p=_ARM_ODDS)
    if rng.random() < 0.5:
        styles[1] = styles[0]
    stride = rng.uniform(*LEG_STYLES[leg_style].stride)
    for side, style, swing in ((1, styles[0], -stride), (-1, styles[1], stride)):
        points |= _arm(rng, ARM_STYLES[style], side, swing, points)
    from_behind = bool(rng.random() < behind_odds)
    yaw = np.clip(rng.normal(0, 30), -75, 75) + (180 if from_behind else 0)
    view = (
        rotation("z", np.clip(rng.normal(0, 7), -20, 20))
        @ rotation("x", rng.uniform(-3, 14))
        @ rotation("y", yaw)
    )
    return Body(seen_from(view, points), from_behind)


def seen_from(view: np.ndarray, points: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turns points of the body frame by `view` [3, 3], into a picture's axes."""
    to_image = np.array([1.0, -1.0, 1.0])
    return {name: view @ point * to_image for name, point in points.items()}


def torso_and_head(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws neck, shoulders, hips, chest, belly and head in the body frame."""
    width = rng.uniform(0.85, 1.2)
    lean = rotation("z", rng.normal(0, 5)) @ rotation("x", rng.uniform(-4, 18))
    twist = lean @ rotation("y", rng.normal(0, 8))
    neck = lean @ [0.0, _SPINE, 0.0]
    shoulder = twist @ [_SHOULDER_HALF_WIDTH * width, 0.0, 0.0]
    points = {
        "neck": neck,
        "left_shoulder": neck + shoulder,
        "right_shoulder": neck - shoulder,
        "left_hip": np.array([_HIP_HALF_WIDTH * width, 0.0, 0.0]),
        "right_hip": np.array([-_HIP_HALF_WIDTH * width, 0.0, 0.0]),
        "chest": lean @ [0.0, 0.82 * _SPINE, 0.05],
        "belly": lean @ [0.0, 0.30 * _SPINE, 0.05],
    }
    turn = rotation("y", np.clip(rng.normal(0, 16), -40, 40))
    nod, sway = rotation("x", rng.normal(0, 8)), rotation("z", rng.normal(0, 6))
    tilt = lean @ turn @ nod @ sway
    points["head"] = neck + lean @ [0.0, _NECK, 0.015]
    for name, place in _FACE.items():
        points[name] = points["head"] + tilt @ (np.array(place) * HEAD_RADIUS)
    return points


def _arm(
    rng: np.random.Generator,
    style: ArmStyle,
    side: int,
    swing: float,
    points: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    abduction = rng.uniform(*style.abduction)
    flexion = rng.uniform(*style.flexion) + swing
    twist = rng.uniform(*style.twist)
    return arm(side, abduction, flexion, twist, rng.uniform(*style.elbow), points)


def arm(
    side: int,
    abduction: float,
    flexion: float,
    twist: float,
    elbow_angle: float,
    points: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Places elbow, wrist and hand by joint angles in degrees.

    `side` is 1 for the left arm and -1 for the right one; `points` hold its shoulder.
    """
    prefix = "left" if side > 0 else "right"
    upper = rotation("z", side * abduction) @ rotation("x", -flexion)
    lower = upper @ rotation("y", -side * twist) @ rotation("x", -elbow_angle)
    down = np.array([0.0, -1.0, 0.0])
    elbow = points[f"{prefix}_shoulder"] + upper @ down * _UPPER_ARM
    wrist = elbow + lower @ down * _FOREARM
    hand = wrist + lower @ down * _HAND
    return {f"{prefix}_elbow": elbow, f"{prefix}_wrist": wrist, f"{prefix}_hand": hand}


def _legs(rng: np.random.Generator, style: LegStyle) -> dict[str, np.ndarray]:
    stride = rng.uniform(*style.stride) * rng.choice((-1, 1))
    width = rng.uniform(0.9, 1.15) * _HIP_HALF_WIDTH
    points = {}
    for side in (1, -1):
        abduction = rng.uniform(*style.abduction)
        flexion = rng.uniform(*style.flexion) + side * stride
        points |= leg(side, width, abduction, flexion, rng.uniform(*style.knee))
    return points


def leg(
    side: int, half_width: float, abduction: float, flexion: float, knee_angle: float
) -> dict[str, np.ndarray]:
    """Places hip, knee, ankle and toes by joint angles in degrees.

    `side` is 1 for the left leg and -1 for the right one; `half_width` is that of the
    hips, in heights.
    """
    prefix = "left" if side > 0 else "right"
    upper = rotation("z", side * abduction) @ rotation("x", -flexion)
    lower = upper @ rotation("x", knee_angle)
    hip = np.array([side * half_width, 0.0, 0.0])
    knee = hip + upper @ [0.0, -_THIGH, 0.0]
    ankle = knee + lower @ [0.0, -_SHIN, 0.0]
    toes = ankle + lower @ [side * 0.012, -0.03, _FOOT]
    return {
        f"{prefix}_hip": hip,
        f"{prefix}_knee": knee,
        f"{prefix}_ankle": ankle,
        f"{prefix}_toes": toes,
    }

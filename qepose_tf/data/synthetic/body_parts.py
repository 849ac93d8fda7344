"""What a synthetic person is made of: painted parts, and what shows each keypoint."""

from dataclasses import dataclass

import numpy as np

from qepose_tf.data.synthetic.body import HEAD_RADIUS, Body
from qepose_tf.data.synthetic.canvas import Colour, hull_of_circles, whole_colour

_SKIN = ((255, 224, 196), (236, 188, 150), (198, 134, 90), (141, 85, 54), (90, 56, 37))
_HAIR = ((20, 18, 16), (62, 40, 24), (120, 72, 30), (196, 160, 92), (130, 130, 130))
_EYE = (18, 18, 24)

# name: end points, radii at them (standing heights), colour role, depth bias.
# A bias decides between parts of about equal depth: sleeves lie on the torso.
_LIMBS = {
    "neck": (("neck", "head"), (0.030, 0.028), "skin", -0.02),
    "{}_upper_arm": (("{}_shoulder", "{}_elbow"), (0.036, 0.027), "sleeve", 0.03),
    "{}_forearm": (("{}_elbow", "{}_wrist"), (0.027, 0.019), "forearm", 0.035),
    "{}_hand": (("{}_wrist", "{}_hand"), (0.021, 0.021), "skin", 0.04),
    "{}_thigh": (("{}_hip", "{}_knee"), (0.056, 0.037), "trousers", -0.015),
    "{}_shin": (("{}_knee", "{}_ankle"), (0.037, 0.024), "shin", -0.01),
    "{}_foot": (("{}_ankle", "{}_toes"), (0.029, 0.021), "shoes", 0.0),
}
_FACE_PARTS = {
    # name: radius in head radii, colour role, depth bias in head radii
    "left_ear": (0.22, "skin", 0.15),
    "right_ear": (0.22, "skin", 0.15),
    "left_eye": (0.17, "eye", 0.0),
    "right_eye": (0.17, "eye", 0.0),
    "nose": (0.18, "nose", 0.0),
}
PART_NAMES = (
    *("torso", "hair", "face", *_FACE_PARTS),
    *(name.format(side) for name in _LIMBS for side in ("left", "right")),
)
# The parts on which a keypoint can be seen; a face keypoint is its own part.
_SHOWN_BY = {
    "shoulder": ("upper_arm",),
    "elbow": ("upper_arm", "forearm"),
    "wrist": ("forearm", "hand"),
    "hip": ("thigh",),
    "knee": ("thigh", "shin"),
    "ankle": ("shin", "foot"),
}
# A shoulder or hip this far behind the torso's middle is on its hidden side.
_HIDDEN_DEPTH = 0.07


@dataclass(frozen=True)
class Part:
    """A convex piece of a person: circles in standing heights, and a colour."""

    name: str
    centres: np.ndarray  # [N, 2]
    radii: np.ndarray  # [N]
    depth: float
    colour: Colour
    edge: Colour

    def outline(self, scale: float, origin: np.ndarray) -> np.ndarray:
        """Returns the part's polygon [N, 2] in pixels."""
        # A part of less than a pixel would vanish between the pixel centres.
        radii = np.maximum(self.radii * scale, 0.6)
        return hull_of_circles(self.centres * scale + origin, radii)


def random_parts(body: Body, rng: np.random.Generator) -> list[Part]:
    """Dresses `body` in random colours; the parts come back farthest first."""
    colours = _wardrobe(rng)
    points, parts = body.points, []

    def add(name, ends, radii, role, bias=0.0, depth=None):
        places = np.array([points[end] for end in ends])
        depth = places[:, 2].mean() if depth is None else depth
        tint = np.clip(np.array(colours[role]) * rng.uniform(0.88, 1.1), 0, 255)
        edge = whole_colour(tint * 0.6)
        parts.append(
            Part(
                name,
                places[:, :2],
                np.array(radii),
                depth + bias,
                whole_colour(tint),
                edge,
            )
        )

    girth = rng.uniform(0.9, 1.3)
    for name, (ends, radii, role, bias) in _LIMBS.items():
        for side in ("left", "right") if "{}" in name else ("",):
            thick = [radius * girth for radius in radii]
            add(name.format(side), [e.format(side) for e in ends], thick, role, bias)
    trunk = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    thick = np.array((0.040, 0.040, 0.055, 0.055)) * girth
    add("torso", trunk, thick, "shirt")
    if rng.random() < 0.5:  # a shirt front: it says which way the chest looks
        add("torso", ("chest", "belly"), (0.026, 0.02), "front", 0.002)
    _add_head(add, points, long_hair=rng.random() < 0.4)
    return sorted(parts, key=lambda part: part.depth)


def _add_head(add, points: dict[str, np.ndarray], long_hair: bool) -> None:
    # The head is one group in front of the neck: its parts are ordered among
    # themselves by depth, and an arm passes in front of all of them or of none.
    head, radius = points["head"][2], HEAD_RADIUS

    def squeezed(name, bias):
        return head + 0.2 * (points[name][2] - head + bias * radius)

    add("hair", ("hair",), (1.12 * radius,), "hair", depth=squeezed("hair", 0.0))
    if long_hair:
        ends = ("hair", "hair_end")
        radii = (radius, 0.8 * radius)
        add("hair", ends, radii, "hair", depth=squeezed("hair_end", 0.0))
    add("face", ("head",), (radius,), "skin", depth=head)
    for name, (size, role, bias) in _FACE_PARTS.items():
        add(name, (name,), (size * radius,), role, depth=squeezed(name, bias))


def _wardrobe(rng: np.random.Generator) -> dict[str, Colour]:
    def any_colour():
        return whole_colour(rng.integers(15, 241, 3))

    def near(palette):
        shade = np.array(palette[rng.integers(len(palette))]) + rng.integers(-14, 15, 3)
        return whole_colour(np.clip(shade, 0, 255))

    skin, shirt, trousers = near(_SKIN), any_colour(), any_colour()
    sleeve = shirt if rng.random() < 0.8 else skin
    return {
        "skin": skin,
        "nose": whole_colour(c * 0.72 for c in skin),
        "eye": _EYE,
        "hair": near(_HAIR) if rng.random() < 0.85 else any_colour(),
        "shirt": shirt,
        "front": any_colour(),
        "sleeve": sleeve,
        "forearm": sleeve if rng.random() < 0.5 else skin,
        "trousers": trousers,
        "shin": trousers if rng.random() < 0.7 else skin,
        "shoes": any_colour(),
    }


def showing_parts(name: str, body: Body) -> frozenset[str]:
    """Names the parts on which keypoint `name` can be seen when nothing covers them."""
    side, _, joint = name.partition("_")
    if joint not in _SHOWN_BY:
        return frozenset([name])
    parts = {f"{side}_{part}" for part in _SHOWN_BY[joint]}
    if joint in ("shoulder", "hip"):
        middle = body.points["neck"][2] / 2  # the hips' middle is the origin
        if body.points[name][2] > middle - _HIDDEN_DEPTH:
            parts.add("torso")
    return frozenset(parts)

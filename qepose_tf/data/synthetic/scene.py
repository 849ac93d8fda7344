"""One synthetic scene: people in front of and behind each other, fully labelled."""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image

from qepose_tf.data.synthetic.body import Body, random_body
from qepose_tf.data.synthetic.body_parts import (
    PART_NAMES,
    Part,
    random_parts,
    showing_parts,
)
from qepose_tf.data.synthetic.canvas import SUPERSAMPLING, Canvas, to_large
from qepose_tf.data.synthetic.scenery import (
    degrade,
    paint_clutter,
    paint_object,
    random_background,
)
from qepose_tf.skeleton import COCO

MIN_HEIGHT = 0.35  # of the smallest standing person, as a share of the picture

MIN_VISIBLE_KEYPOINTS = 4
_MIN_VISIBLE_SHARE = 0.006  # of the picture's pixels, that a kept person must show
_MOST_PEOPLE = 40  # a crowd that still leaves everybody a chance to be seen
_MAX_ATTEMPTS = 50


@dataclass(frozen=True)
class Person:
    """A person's label.

    Attributes:
        keypoints: [17, 3] x, y (pixels, two decimals), v (2 visible, 1 covered; an
            outside keypoint is 0, 0, 0).
        mask: [H, W] bool, the pixels where the person can be seen.
    """

    keypoints: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Scene:
    """A picture and its people, farthest first."""

    picture: Image.Image
    people: list[Person]


@dataclass(frozen=True)
class PlacedBody:
    """A dressed body and where it goes: `scale` and `origin` [2] are in pixels."""

    body: Body
    parts: list[Part]
    scale: float
    origin: np.ndarray

    def to_px(self, point: np.ndarray) -> np.ndarray:
        """Maps a point of the body to the picture's (x, y)."""
        return point[:2] * self.scale + self.origin


def random_scene(
    image_size: int,
    min_people: int,
    max_people: int,
    seed: tuple[int, ...],
    min_height: float = MIN_HEIGHT,
) -> Scene:
    """Draws the scene that `seed` stands for; equal seeds give equal scenes.

    Raises:
        ValueError: if `min_people` people can't be placed so that each is seen.
    """
    if min_people > _MOST_PEOPLE:
        raise ValueError(
            f"min_people: expected at most {_MOST_PEOPLE}, got {min_people}"
        )
    rng = np.random.default_rng(seed)
    count = int(rng.integers(min_people, max_people + 1))
    for _ in range(_MAX_ATTEMPTS):
        scene, hidden = _attempt(image_size, count, min_height, rng)
        if not hidden:
            return scene
        # Somebody can hardly be seen: unlabelled people would teach a falsehood, so
        # the scene is drawn anew, after a while with fewer people.
        if rng.random() < 0.3:
            count = max(count - 1, min_people)
    raise ValueError(
        f"expected room for {min_people} people in a scene of {image_size} px, "
        f"found none in {_MAX_ATTEMPTS} attempts: ask for fewer"
    )


def _attempt(
    size: int, count: int, min_height: float, rng: np.random.Generator
) -> tuple[Scene, bool]:
    placed = _place_people(size, count, min_height, rng)
    canvas = Canvas(random_background(rng), (size, size))
    paint_clutter(canvas, rng)
    for index, person in enumerate(placed):
        paint_person(canvas, index, person)
    if placed and rng.random() < 0.35:
        for _ in range(rng.integers(1, 3)):
            person = placed[rng.integers(count)]
            name = COCO.keypoints[rng.integers(5, COCO.num_keypoints)]
            paint_object(canvas, person.to_px(person.body.points[name]), rng)
    shapes = canvas.shapes()
    people = [label(index, person, shapes) for index, person in enumerate(placed)]
    hidden = any(
        (person.keypoints[:, 2] == 2).sum() < MIN_VISIBLE_KEYPOINTS
        or person.mask.mean() < _MIN_VISIBLE_SHARE
        for person in people
    )
    return Scene(degrade(canvas.picture(), rng), people), hidden


def _place_people(
    size: int, count: int, min_height: float, rng: np.random.Generator
) -> list[PlacedBody]:
    """Chooses bodies, sizes and places; the larger ones stand in front."""
    tallest = max(0.95 - 0.08 * max(count - 1, 0), 0.5, min_height)
    heights = np.sort(rng.uniform(min_height, tallest, count)) * size
    taken: list[np.ndarray] = []
    placed = []
    for height in heights:
        body = random_body(rng)
        parts = random_parts(body, rng)
        circles = np.concatenate([part.centres for part in parts])
        low, high = circles.min(axis=0) - 0.03, circles.max(axis=0) + 0.03
        # A sitting person is lower than a standing one, though not by the full ratio.
        scale = height / (0.4 + 0.6 * (high[1] - low[1]))
        origin = _free_place(size, low * scale, high * scale, taken, rng)
        taken.append(origin + (low + high) / 2 * scale)
        placed.append(PlacedBody(body, parts, scale, origin))
    return placed


def _free_place(
    size: int,
    low: np.ndarray,
    high: np.ndarray,
    taken: list[np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Picks where a figure's origin goes: mostly inside, rather away from others."""
    # Some are cut off at the border: up to 40 % of the figure lies outside.
    slack = (high - low) * (0.4 if rng.random() < 0.25 else 0.0)
    first, last = -low - slack, size - high + slack
    tries = rng.uniform(np.minimum(first, last), np.maximum(first, last), (4, 2))
    if not taken or rng.random() < 0.3:
        return tries[0]
    middles = tries + (low + high) / 2
    gaps = np.linalg.norm(middles[:, None] - np.array(taken), axis=-1).min(axis=1)
    return tries[np.argmax(gaps)]


def paint_person(canvas: Canvas, index: int, person: PlacedBody) -> None:
    """Paints the parts of person number `index` over what is there."""
    for part in person.parts:
        outline = part.outline(person.scale, person.origin)
        canvas.fill(outline, part.colour, _shape_number(index, part.name), part.edge)


def _shape_number(person: int, part: str) -> int:
    return 1 + person * len(PART_NAMES) + PART_NAMES.index(part)


def label(index: int, person: PlacedBody, shapes: np.ndarray) -> Person:
    """Labels person number `index` by the topmost shapes [2H, 2W] of the canvas."""
    height, width = (side // SUPERSAMPLING for side in shapes.shape)
    first = index * len(PART_NAMES)
    own = (shapes > first) & (shapes <= first + len(PART_NAMES))
    step, own = SUPERSAMPLING, own.view(np.uint8)
    # Sums of strided slices: ten times faster than a reduction over tiny axes.
    places = [(y, x) for y in range(step) for x in range(step)]
    pieces = [own[y::step, x::step] for y, x in places]
    quarters: np.ndarray = functools.reduce(np.add, pieces)
    keypoints = np.zeros((COCO.num_keypoints, 3))
    for row, name in enumerate(COCO.keypoints):
        point = np.round(person.to_px(person.body.points[name]), 2)
        if (point < 0).any() or (point > (width - 1, height - 1)).any():
            continue
        column, line = np.rint(to_large(point)).astype(int)
        shown = {_shape_number(index, p) for p in showing_parts(name, person.body)}
        keypoints[row] = (*point, 2 if int(shapes[line, column]) in shown else 1)
    return Person(keypoints, np.asarray(quarters * 2 > step**2))

"""Drawn videos of people who cross, disappear and come back, with everybody's id."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from qepose_tf.data.synthetic.body_parts import random_parts
from qepose_tf.data.synthetic.canvas import (
    Canvas,
    Colour,
    hull_of_circles,
)
from qepose_tf.data.synthetic.scene import (
    MIN_VISIBLE_KEYPOINTS,
    Person,
    PlacedBody,
    label,
    paint_person,
)
from qepose_tf.data.synthetic.scenery import (
    OBJECT,
    degrade,
    paint_clutter,
    random_background,
    random_colour,
)
from qepose_tf.data.synthetic.walking import TURN_SECONDS, Walker
from qepose_tf.skeleton import COCO

_MIN_SIDE = 64


@dataclass(frozen=True)
class VideoFrame:
    """A frame and the P people who can be seen in it.

    Attributes:
        seconds: The frame's time; 0 for the first.
        picture: RGB.
        ids: `[P]` int, from 1 on; a person has the same id in all frames.
        keypoints: `[P, 17, 3]` x, y (px), v as in COCO: 2 visible, 1 covered; outside
            of the picture it is 0, 0, 0.
        areas: `[P]`, the px of each person that can be seen.
    """

    seconds: float
    picture: Image.Image
    ids: np.ndarray
    keypoints: np.ndarray
    areas: np.ndarray


@dataclass(frozen=True)
class _Actor:
    walker: Walker
    clothes: int  # seed of the colours
    height_px: float
    hips_px: float  # y of the hips' middle

    def at(self, seconds: float) -> PlacedBody:
        body = self.walker.body(seconds)
        parts = random_parts(body, np.random.default_rng(self.clothes))
        x = self.walker.place(seconds) * self.height_px
        return PlacedBody(body, parts, self.height_px, np.array([x, self.hips_px]))


@dataclass(frozen=True)
class _Post:
    depth: int  # how many people are behind it
    outline: np.ndarray
    colour: Colour


def drawn_video(
    people: int,
    seed: int,
    *,
    seconds: float = 8.0,
    fps: float = 25.0,
    size: tuple[int, int] = (480, 240),
    posts: int = 1,
    turning: float = 0.25,
    come_back: float = 0.0,
    leaving: float = 0.2,
) -> Iterator[VideoFrame]:
    """Draws the frames of the video that the arguments stand for, one after another.

    People walk to and fro, half of them from the left and half from the right, so that
    they cross. Each has a depth; nearer people cover those behind, and posts as wide
    as a person cover whoever walks behind them.

    Args:
        people: How many walk through the picture.
        seed: Equal arguments give equal frames.
        seconds: The length of the video.
        fps: Frames a second.
        size: Width and height of the picture in px.
        posts: How many posts stand in the way.
        turning: The odds that somebody turns round in the middle of a way.
        come_back: The odds that somebody turns round outside of the picture.
        leaving: The odds that somebody leaves and does not return.

    Returns:
        The frames. Who shows fewer than 4 keypoints is not among a frame's people.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> first, second = drawn_video(people=2, seed=0, seconds=0.2, fps=10.0)
        >>> first.picture.size, second.seconds, second.ids, second.keypoints.shape
        ((480, 240), 0.1, array([1, 2]), (2, 17, 3))
    """
    _check(people, seed, seconds, fps, size, posts)
    odds = dict(turning=turning, come_back=come_back, leaving=leaving)
    for name, value in odds.items():
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name}: expected odds from 0 to 1, got {value}")
    rng = np.random.default_rng((seed, people))
    actors = _cast(people, rng, seconds, size, odds)
    return _frames(actors, rng, seed, seconds, fps, size, posts)


def _check(
    people: int,
    seed: int,
    seconds: float,
    fps: float,
    size: tuple[int, int],
    posts: int,
) -> None:
    if people < 0 or seed < 0 or posts < 0:
        raise ValueError(
            f"people, seed, posts: expected 0 or more, got {people}, {seed}, {posts}"
        )
    if not (seconds > 0 and fps > 0):
        raise ValueError(f"expected seconds > 0 and fps > 0, got {seconds} and {fps}")
    if min(size) < _MIN_SIDE:
        raise ValueError(f"size: expected at least {_MIN_SIDE} px, got {size}")


def _cast(
    people: int,
    rng: np.random.Generator,
    seconds: float,
    size: tuple[int, int],
    odds: dict[str, float],
) -> list[_Actor]:
    """Chooses who walks, farthest first: people in front are larger and lower."""
    width, height = size
    nearness = np.sort(rng.uniform(0, 1, people))
    actors = []
    for index, near in enumerate(nearness):
        height_px = height * (0.42 + 0.2 * near) * rng.uniform(0.95, 1.05)
        feet_px = height * (0.80 + 0.16 * near)
        rightward = bool((index + people) % 2)
        start = rng.uniform(0.02, 0.4) * width
        walker = Walker(
            seed=tuple(int(n) for n in rng.integers(2**31, size=2)),
            start=(start if rightward else width - start) / height_px,
            speed=rng.uniform(0.45, 0.9) * (1 if rightward else -1),
            phase=rng.uniform(0, 2),
            sidelong=rng.uniform(0, 30),
        )
        turns = _turns(walker, rng, seconds, width / height_px, odds)
        actors.append(
            _Actor(
                dataclasses.replace(walker, turns=turns),
                int(rng.integers(2**31)),
                height_px,
                feet_px - 0.5 * height_px,
            )
        )
    return actors


def _turns(
    walker: Walker,
    rng: np.random.Generator,
    seconds: float,
    width: float,
    odds: dict[str, float],
) -> tuple[float, ...]:
    """Chooses when a person turns round; `width` is the picture's in heights."""
    now, x, speed, turns = 0.0, walker.start, walker.speed, []
    while now < seconds:
        beyond = rng.uniform(0.35, 0.8) if rng.random() < odds["come_back"] else None
        edge = -rng.uniform(0.2, 0.6) if beyond is None else beyond
        way = (width + edge - x) if speed > 0 else (x + edge)
        if rng.random() < odds["turning"]:
            way *= rng.uniform(0.4, 0.7)
        elif rng.random() < odds["leaving"]:
            break
        way = max(way, 0.1)
        now += way / abs(speed)
        x += np.copysign(way, speed)
        turns.append(float(now))
        now, speed = now + TURN_SECONDS, -speed
    return tuple(turns)


def _random_posts(
    rng: np.random.Generator, count: int, size: tuple[int, int], actors: list[_Actor]
) -> list[_Post]:
    width, height = size
    posts = []
    for _ in range(count):
        x, half = rng.uniform(0.25, 0.75) * width, rng.uniform(0.09, 0.15) * height
        depth = int(rng.integers(1, len(actors) + 1)) if actors else 0
        foot = (
            actors[depth - 1].hips_px + 0.5 * actors[depth - 1].height_px
            if actors
            else height
        )
        corners = [(x - half, -2), (x + half, -2), (x + half, foot), (x - half, foot)]
        outline = hull_of_circles(np.array(corners), np.full(4, 0.6))
        posts.append(_Post(depth, outline, random_colour(rng)))
    return posts


def _frames(
    actors: list[_Actor],
    rng: np.random.Generator,
    seed: int,
    seconds: float,
    fps: float,
    size: tuple[int, int],
    posts: int,
) -> Iterator[VideoFrame]:
    background = random_background(rng)
    standing = _random_posts(rng, posts, size, actors)
    clutter, camera = (int(number) for number in rng.integers(2**31, size=2))
    for number in range(round(seconds * fps)):
        now = number / fps
        canvas = Canvas(background, size)
        paint_clutter(canvas, np.random.default_rng(clutter))
        placed = [actor.at(now) for actor in actors]
        for depth in range(len(placed) + 1):
            for post in standing:
                if post.depth == depth:
                    canvas.fill(post.outline, post.colour, OBJECT)
            if depth < len(placed):
                paint_person(canvas, depth, placed[depth])
        shapes = canvas.shapes()
        labels = [label(index, person, shapes) for index, person in enumerate(placed)]
        noise = np.random.default_rng((seed, number))
        picture = degrade(canvas.picture(), np.random.default_rng(camera), noise)
        yield _frame(now, picture, labels)


def _frame(seconds: float, picture: Image.Image, labels: list[Person]) -> VideoFrame:
    seen = [
        index
        for index, person in enumerate(labels)
        if (person.keypoints[:, 2] == 2).sum() >= MIN_VISIBLE_KEYPOINTS
    ]
    keypoints = [labels[index].keypoints for index in seen]
    return VideoFrame(
        seconds,
        picture,
        np.array(seen, int) + 1,
        np.array(keypoints).reshape(-1, COCO.num_keypoints, 3),
        np.array([labels[index].mask.sum() for index in seen], float),
    )

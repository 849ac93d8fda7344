"""What surrounds synthetic people: cluttered backgrounds and objects in front."""

import numpy as np
from PIL import Image, ImageFilter

from qepose_tf.data.synthetic.canvas import (
    BACKGROUND,
    Canvas,
    Colour,
    hull_of_circles,
    whole_colour,
)

OBJECT = -1


def random_colour(rng: np.random.Generator) -> Colour:
    """Draws any colour but the very darkest and lightest."""
    return whole_colour(rng.integers(10, 246, 3))


def random_background(rng: np.random.Generator) -> Image.Image:
    """Draws a few coloured blocks: enlarged smoothly they're clouds or a gradient."""
    rows, columns = rng.integers(1, 7, 2)
    middle, spread = rng.integers(30, 226, 3), rng.uniform(5, 90)
    blocks = middle + rng.uniform(-spread, spread, (rows, columns, 3))
    return Image.fromarray(np.clip(blocks, 0, 255).astype(np.uint8))


def paint_clutter(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paints random shapes, lines and things that look like lone heads and limbs."""
    width, height = canvas.size
    side = min(width, height)
    for _ in range(rng.integers(2, 22)):
        place = rng.uniform(-0.1, 1.1, 2) * (width, height)
        kind = rng.choice(("polygon", "bar", "limb", "disc"), p=(0.3, 0.2, 0.35, 0.15))
        if kind == "polygon":
            reach = rng.uniform(0.04, 0.3) * side
            corners = place + rng.uniform(-reach, reach, (rng.integers(3, 7), 2))
            outline = hull_of_circles(corners, np.full(len(corners), 0.6))
        elif kind == "bar":
            end = place + rng.normal(0, 0.6, 2) * side
            outline = hull_of_circles((place, end), np.full(2, rng.uniform(0.4, 4)))
        elif kind == "limb":
            end = place + rng.normal(0, 0.12, 2) * side
            radii = rng.uniform(0.008, 0.04, 2) * side
            outline = hull_of_circles((place, end), radii)
        else:
            outline = hull_of_circles((place,), (rng.uniform(0.015, 0.07) * side,))
        colour = random_colour(rng)
        edge = whole_colour(c * 0.6 for c in colour) if rng.random() < 0.6 else None
        canvas.fill(outline, colour, BACKGROUND, edge)


def paint_object(canvas: Canvas, near_px: np.ndarray, rng: np.random.Generator) -> None:
    """Paints one post, box or ball over what stands near `near_px` [2]."""
    side = min(canvas.size)
    place = near_px + rng.normal(0, 0.03, 2) * side
    kind = rng.choice(("post", "box", "ball"))
    if kind == "post":
        end = place + rotate(np.array([0.0, side]), rng.uniform(0, 2 * np.pi))
        start = place - (end - place) * rng.uniform(0, 1)
        radius = rng.uniform(0.008, 0.03) * side
        outline = hull_of_circles((start, end), (radius, radius))
    elif kind == "box":
        half, angle = rng.uniform(0.03, 0.12, 2) * side, rng.uniform(0, np.pi)
        signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        corners = [place + rotate(corner, angle) for corner in signs * half]
        outline = hull_of_circles(corners, np.full(4, 0.6))
    else:
        outline = hull_of_circles((place,), (rng.uniform(0.03, 0.09) * side,))
    colour = random_colour(rng)
    canvas.fill(outline, colour, OBJECT, whole_colour(c * 0.6 for c in colour))


def rotate(vector: np.ndarray, angle: float) -> np.ndarray:
    """Turns a vector of the plane by `angle` radians."""
    x, y = vector
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([cosine * x - sine * y, sine * x + cosine * y])


def degrade(
    picture: np.ndarray,
    rng: np.random.Generator,
    noise_rng: np.random.Generator | None = None,
) -> Image.Image:
    """Adds what a camera adds: shading, sensor noise and now and then blur.

    Frames of a video have equal `rng`, for they are of one camera, and a `noise_rng`
    each; by default `rng` makes the noise, too.
    """
    height, width = picture.shape[:2]
    ramp_x, ramp_y = rng.uniform(-0.2, 0.2, 2)
    shade = rng.uniform(0.8, 1.15) + np.add.outer(
        np.linspace(-ramp_y, ramp_y, height), np.linspace(-ramp_x, ramp_x, width)
    )
    noise = (noise_rng or rng).standard_normal(
        (height, width, 3), np.float32
    ) * rng.uniform(0, 9)
    shaded = picture * shade[..., None].astype(np.float32) + noise
    image = Image.fromarray(np.clip(shaded, 0, 255).astype(np.uint8))
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    return image

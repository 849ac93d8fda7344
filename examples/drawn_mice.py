"""Draws mice, seen from above, and labels them as labelme does: data to try things on.

    python drawn_mice.py FOLDER [--pictures 50] [--seed 0]

FOLDER gets one folder a day with pictures and, beside each picture, the JSON file that
labelme would write: points with a label, and a group for each mouse. Six keypoints:
nose, left_ear, right_ear, back, tail_base, tail_tip. Needs Pillow and NumPy.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 256
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
# Along the body (nose = 1, tail base = -1) and to its left, in half body lengths.
POINTS = {
    "nose": (1.0, 0.0),
    "left_ear": (0.62, 0.26),
    "right_ear": (0.62, -0.26),
    "back": (0.0, 0.0),
    "tail_base": (-0.9, 0.0),
    "tail_tip": (-2.0, 0.0),
}
FURS = ((236, 232, 226), (120, 84, 60), (70, 66, 64), (196, 150, 96))


class Mouse:
    """A mouse of some size, place, direction and bend of the tail."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.half = rng.uniform(32, 50)
        self.centre = rng.uniform(0.25 * SIDE, 0.75 * SIDE, 2)
        angle = rng.uniform(0, 2 * np.pi)
        self.ahead = np.array([np.cos(angle), np.sin(angle)])
        # In a picture y points down: left of "ahead" is a quarter turn against it.
        self.left = np.array([self.ahead[1], -self.ahead[0]])
        self.bend = rng.uniform(-0.7, 0.7)
        self.fur = FURS[rng.integers(len(FURS))]

    def at(self, along: float, aside: float) -> np.ndarray:
        """A point of the body in pixels."""
        place = along * self.ahead + aside * self.left
        return self.centre + self.half * place

    def keypoints(self) -> dict[str, np.ndarray]:
        """The six keypoints in pixels, by name."""
        points = {name: self.at(*place) for name, place in POINTS.items()}
        points["tail_tip"] = self.at(POINTS["tail_tip"][0], self.bend)
        return points

    def apart_from(self, others: list["Mouse"]) -> bool:
        """Whether no other mouse is near."""
        distance = [np.linalg.norm(self.centre - other.centre) for other in others]
        return all(d > 1.6 * self.half for d in distance)

    def draw(self, canvas: ImageDraw.ImageDraw) -> None:
        """Draws tail, body, head and ears."""
        dark = tuple(int(0.7 * value) for value in self.fur)
        pink = (226, 160, 156)
        steps = np.linspace(0, 1, 12)
        tail = [
            tuple(self.at(-0.85 - 1.15 * step, self.bend * step**2)) for step in steps
        ]
        canvas.line(tail, fill=pink, width=3, joint="curve")
        for along in np.linspace(-0.75, 0.75, 24):
            width = 0.42 * np.sqrt(max(0.0, 1 - (along + 0.1) ** 2)) + 0.06
            self._dot(canvas, self.at(along, 0), width, self.fur)
        for side in (-1, 1):
            self._dot(canvas, self.at(0.62, 0.26 * side), 0.16, dark)
            self._dot(canvas, self.at(0.62, 0.26 * side), 0.10, pink)
            self._dot(canvas, self.at(0.82, 0.12 * side), 0.04, (10, 10, 10))
        self._dot(canvas, self.at(0.9, 0), 0.10, self.fur)
        self._dot(canvas, self.at(0.98, 0), 0.05, pink)

    def _dot(self, canvas, at: np.ndarray, radius: float, colour) -> None:
        reach = radius * self.half
        canvas.ellipse([*(at - reach), *(at + reach)], fill=colour)


def picture(rng: np.random.Generator) -> tuple[Image.Image, list[Mouse]]:
    """A cage floor with one to three mice."""
    tone = rng.uniform(90, 190) + rng.normal(0, 12, 3)
    coarse = rng.normal(0, 18, (SIDE // 16, SIDE // 16, 1))
    floor = np.repeat(np.repeat(coarse, 16, 0), 16, 1) + tone
    floor = floor + rng.normal(0, 6, (SIDE, SIDE, 1))
    image = Image.fromarray(np.uint8(np.clip(floor, 0, 255)))
    image = image.filter(ImageFilter.GaussianBlur(2))
    mice: list[Mouse] = []
    for _ in range(rng.integers(1, 4)):
        mouse = Mouse(rng)
        if mouse.apart_from(mice):
            mice.append(mouse)
    canvas = ImageDraw.Draw(image)
    for mouse in mice:
        mouse.draw(canvas)
    return image.filter(ImageFilter.GaussianBlur(0.7)), mice


def labels(file: str, mice: list[Mouse]) -> dict:
    """What labelme writes for a picture; points outside of it are not labelled."""
    shapes = [
        {
            "label": name,
            "points": [[round(float(x), 2), round(float(y), 2)]],
            "group_id": group,
            "shape_type": "point",
            "flags": {},
        }
        for group, mouse in enumerate(mice)
        for name, (x, y) in mouse.keypoints().items()
        if 0 <= x < SIDE and 0 <= y < SIDE
    ]
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": file,
        "imageData": None,
        "imageHeight": SIDE,
        "imageWidth": SIDE,
    }


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    for number in range(options.pictures):
        day = options.folder / DAYS[number * len(DAYS) // options.pictures]
        day.mkdir(parents=True, exist_ok=True)
        image, mice = picture(rng)
        file = day / f"mouse_{number:03}.jpg"
        image.save(file, quality=92)
        text = json.dumps(labels(file.name, mice), indent=1)
        file.with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

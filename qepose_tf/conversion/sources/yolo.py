"""YOLO pose: a YAML that names folders, and a text file with shares per picture."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from qepose_tf.conversion.labels import LabelSet, Person, Picture
from qepose_tf.conversion.places import read_text
from qepose_tf.data.coco.content import shown
from qepose_tf.images.finding import IMAGE_SUFFIXES
from qepose_tf.skeleton import COCO

# Rounding puts a point on the border a little outside; pixels are far beyond.
_MAX_SHARE = 1.5
_SPLITS = (("train", "train"), ("val", "val"), ("valid", "val"))


def yolo_yaml(source: Path) -> Path | None:
    """The YAML of a YOLO pose data set that a path stands for; None if it is none."""
    candidates = [source]
    if source.suffix == ".txt" or (source.is_dir() and any(source.glob("*.txt"))):
        # Label files: their YAML lies above, as data/labels/train/1.txt.
        for folder in (source, *list(source.resolve().parents)[:3]):
            found = yolo_yaml(folder / "data.yaml")
            if found is not None:
                return found
    if source.is_dir():
        named = sorted([*source.glob("*.yaml"), *source.glob("*.yml")])
        candidates = [path for path in named if path.stem == "data"] or named
    for path in candidates:
        if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
            content = read_yaml(path)
            if isinstance(content, dict) and "kpt_shape" in content:
                return path
    return None


def read_yaml(path: Path) -> Any:
    """A YAML file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no YAML.
    """
    try:
        return yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: expected YAML, {reason}") from None


def read_yolo(source: Path, images: Path | None, category: str | None) -> LabelSet:
    """Reads a YOLO pose data set.

    Args:
        source: Its YAML.
        images: The folder that the YAML's folders are below; by default its `path`,
            then where the YAML lies.
        category: The class to read; None reads all of them as one.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not what it should be; names file and line.
    """
    config = read_yaml(source)
    count, dimensions = _shape(source, config)
    classes = _classes(config)
    if category is not None and category not in classes.values():
        raise ValueError(
            f"{source}: expected a class {category!r} among {list(classes.values())}"
        )
    labels = _described(source, config, count)
    found = dict(_files(source, config, images))
    if not found:
        raise ValueError(f"{source}: expected folders 'train' and 'val' with pictures")
    seen: set[int] = set()
    unlabelled = []
    for file, split in found.items():
        people, text = [], label_file(file)
        if not text.is_file():
            unlabelled.append(file)
        elif lines := read_text(text).splitlines():
            size = _upright_size(file)
            for number, line in enumerate(lines, start=1):
                if not line.strip() or size is None:
                    continue
                where = f"{text}, line {number}"
                numbers = _numbers(where, line, 5 + count * dimensions)
                seen.add(int(numbers[0]))
                if category in (None, classes.get(int(numbers[0]))):
                    points = _points(where, numbers[5:], dimensions)
                    people.append(_person(labels.keypoints, numbers, points, size))
        labels.pictures.append(Picture(file, str(file.parent), people, split=split))
    if len(unlabelled) == len(found):
        raise ValueError(
            f"{source}: none of {len(found)} pictures has a label file (first: "
            f"expected {label_file(unlabelled[0])})"
        )
    if unlabelled:
        labels.remarks.append(
            f"{len(unlabelled)} pictures without a label file: nobody is in them, as "
            f"YOLO has it (first: {unlabelled[0]})"
        )
    if category is None and len(seen) > 1:
        names = [classes.get(index, index) for index in sorted(seen)]
        labels.remarks.append(f"classes {names} are read as one")
    if config.get("test"):
        labels.remarks.append("'test' is left out")
    return labels


def label_file(picture: Path) -> Path:
    """Where the labels of a picture are: `images` in its path is `labels` there."""
    parts = list(picture.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _shape(source: Path, config: dict[str, Any]) -> tuple[int, int]:
    match config.get("kpt_shape"):
        case [int() as count, (2 | 3) as dimensions] if count > 0:
            return count, dimensions
    raise ValueError(
        f"{source}: kpt_shape: expected [keypoints, 2 or 3], "
        f"got {shown(config.get('kpt_shape'))}"
    )


def _classes(config: dict[str, Any]) -> dict[int, str]:
    names = config.get("names") or {}
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return {int(index): str(name) for index, name in pairs}


def _described(source: Path, config: dict[str, Any], count: int) -> LabelSet:
    """The skeleton: names, limbs and flip pairs, as far as the YAML says them."""
    names = config.get("kpt_names") or config.get("node_names")
    if isinstance(names, dict):  # by class; those of one shape share their keypoints
        names = next(iter(names.values()))
    flips = config.get("flip_idx")
    remarks = []
    if not names and flips == list(COCO.flip_permutation):
        names = list(COCO.keypoints)
        remarks.append("keypoints without names, taken as COCO's 17 by their flip_idx")
    if not names:
        names = [f"keypoint_{number + 1}" for number in range(count)]
        remarks.append(f"keypoints without names, called {names[0]} to {names[-1]}")
    if not isinstance(names, list) or len(names) != count:
        raise ValueError(f"{source}: expected {count} keypoint names, got {names!r}")
    names = [str(name) for name in names]
    pairs = _flip_pairs(source, flips, names)
    if pairs == ():  # what is written where nobody has thought of mirrors
        pairs = None
    try:
        limbs = tuple((names[a], names[b]) for a, b in config.get("skeleton") or ())
    except (TypeError, ValueError, IndexError):
        raise ValueError(
            f"{source}: skeleton: expected pairs of numbers 0 to {count - 1}"
        ) from None
    name = next(iter(_classes(config).values()), source.parent.name)
    return LabelSet(
        *("YOLO pose", name, tuple(names), []),
        limbs=limbs,
        flip_pairs=pairs,
        remarks=remarks,
    )


def _flip_pairs(
    source: Path, flips: Any, names: list[str]
) -> tuple[tuple[str, str], ...] | None:
    if flips is None:
        return None
    order = list(range(len(names)))
    if not isinstance(flips, list) or sorted(map(str, flips)) != sorted(
        map(str, order)
    ):
        raise ValueError(f"{source}: flip_idx: expected {order} in an order: {flips}")
    if any(flips[flips[index]] != index for index in order):
        raise ValueError(f"{source}: flip_idx: expected pairs that change places")
    pairs = ((index, flips[index]) for index in order if index < flips[index])
    return tuple((names[first], names[second]) for first, second in pairs)


def _files(
    source: Path, config: dict[str, Any], images: Path | None
) -> Iterator[tuple[Path, str | None]]:
    """Each picture once, with its split; None where it is in both."""
    found: dict[Path, set[str]] = {}
    roots = [source.parent / str(config.get("path") or "."), source.parent]
    roots = [images, *roots] if images else roots
    for key, split in _SPLITS:
        entries = config.get(key) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            for file in _listed(source, key, str(entry), roots):
                found.setdefault(file, set()).add(split)
    for file, splits in found.items():
        yield file, splits.pop() if len(splits) == 1 else None


def _listed(source: Path, key: str, entry: str, roots: list[Path]) -> list[Path]:
    # Roboflow writes ../train/images for what lies beside the YAML.
    readings = (entry, entry.replace("\\", "/"), entry.replace("../", ""))
    places = (root / reading for root in roots for reading in readings)
    place = next((place for place in places if place.exists()), None)
    if place is None:
        raise ValueError(
            f"{source}: {key}: no folder or list {entry!r} below {roots[0]}; "
            "name its folder by --images"
        )
    place, home = place.resolve(), source.parent.resolve()
    if place != home and home.is_relative_to(place):
        raise ValueError(
            f"{source}: {key}: expected a folder of pictures, got {place}, which holds "
            "the whole data set"
        )
    if place.is_dir():
        files = [p for p in place.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES]
        return sorted(files)
    lines = (line.strip() for line in read_text(place).splitlines())
    return [(place.parent / line).resolve() for line in lines if line]


def _numbers(where: str, line: str, length: int) -> list[float]:
    try:
        numbers = [float(word) for word in line.split()]
    except ValueError:
        raise ValueError(f"{where}: expected numbers, got {shown(line)}") from None
    if len(numbers) != length or not all(map(math.isfinite, numbers)):
        raise ValueError(
            f"{where}: expected {length} numbers (class, box, keypoints of kpt_shape), "
            f"got {len(numbers)}"
        )
    if numbers[0] % 1 or max(map(abs, numbers[1:5])) > _MAX_SHARE:
        raise ValueError(
            f"{where}: expected a class and a box in shares of the picture, 0 to 1, "
            f"got {shown(line)}"
        )
    return numbers


def _points(
    where: str, numbers: list[float], dimensions: int
) -> list[tuple[float, float, float]]:
    rows = zip(*[iter(numbers)] * dimensions, strict=True)
    points = []
    for x, y, *rest in rows:
        # Without a third number a point that nobody labelled is 0 0 or negative.
        v = rest[0] if rest else 2.0 * (x >= 0 and y >= 0 and (x, y) != (0.0, 0.0))
        if v not in (0.0, 1.0, 2.0):
            raise ValueError(f"{where}: expected visibility 0, 1 or 2, got {v:g}")
        if v and max(abs(x), abs(y)) > _MAX_SHARE:
            raise ValueError(
                f"{where}: expected shares of the picture, 0 to 1, got {x:g} {y:g}"
            )
        points.append((x, y, v))
    return points


def _person(
    names: tuple[str, ...],
    numbers: list[float],
    points: list[tuple[float, float, float]],
    size: tuple[int, int],
) -> Person:
    width, height = size
    x, y, w, h = numbers[1:5]
    box = ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
    labelled = {
        name: (x * width, y * height, v)
        for name, (x, y, v) in zip(names, points, strict=True)
        if v > 0
    }
    return Person(labelled, box)


def _upright_size(file: Path) -> tuple[int, int] | None:
    """Width and height as YOLO's own loader has them; None for what is no picture."""
    try:
        with Image.open(file) as image:
            if image.getexif().get(0x0112) in (5, 6, 7, 8):
                return image.height, image.width
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None

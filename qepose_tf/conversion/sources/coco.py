"""COCO files whose coordinates are shares of the picture, or that lack a split."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.conversion.labels import LabelSet, Person, Picture
from qepose_tf.conversion.places import beside, locate, read_json
from qepose_tf.data.coco.content import shown, whole_number

# No picture with people in it is two pixels wide.
_MAX_SHARE = 2.0
_IMAGE_FIELDS = ("id", "file_name", "width", "height")
_OWN_FIELDS = ("id", "image_id", "category_id", "keypoints", "bbox", "area")


def is_coco(content: Any) -> bool:
    """Whether the content of a JSON file is in COCO's form."""
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list)
        for key in ("images", "annotations", "categories")
    )


def read_coco_file(source: Path, images: Path | None, category: str | None) -> LabelSet:
    """Reads a COCO keypoint file; shares of the picture become pixels.

    Args:
        source: The JSON file.
        images: The folder of its pictures; by default looked for beside it.
        category: Name of the category; None takes all with the same keypoints.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not COCO's form; names the annotation.
    """
    content = read_json(source)
    labels, chosen = _described(source, content["categories"], category)
    pictures = _pictures(source, content["images"], images)
    names = labels.keypoints
    entries, rows, unknown = [], [], []
    for entry in content["annotations"]:
        if str(entry.get("category_id")) not in chosen:
            continue
        if str(entry.get("image_id")) not in pictures:
            unknown.append(entry.get("id"))
            continue
        entries.append(entry)
        rows.append(_keypoints(source, entry, len(names)))
    keypoints = np.array(rows, np.float64).reshape(-1, len(names), 3)
    sizes = np.array([pictures[str(e["image_id"])].size for e in entries], np.float64)
    boxes, areas = _extents(source, entries)
    turned = _make_pixels(keypoints, boxes, areas, sizes.reshape(-1, 2))
    labels.remarks += turned
    if turned:  # outlines in shares fit no picture
        for entry in entries:
            if isinstance(entry.get("segmentation"), list):
                del entry["segmentation"]
    for entry, points, box, area in zip(entries, keypoints, boxes, areas, strict=True):
        fields = {key: value for key, value in entry.items() if key not in _OWN_FIELDS}
        person = Person(
            {
                name: (x, y, v)
                for name, (x, y, v) in zip(names, points.tolist(), strict=True)
                if v > 0
            },
            tuple(box.tolist()) if np.isfinite(box).all() else None,
            float(area) if np.isfinite(area) else None,
            fields,
        )
        pictures[str(entry["image_id"])].people.append(person)
    labels.pictures = list(pictures.values())
    if unknown:
        what = "annotations of images that are not listed; left out"
        labels.skipped.append((len(unknown), what, f"annotation {shown(unknown[0])}"))
    return labels


def _described(
    source: Path, categories: list[Any], category: str | None
) -> tuple[LabelSet, set[str]]:
    """The skeleton, and the ids of the categories that have it."""
    posed = [c for c in categories if isinstance(c, dict) and c.get("keypoints")]
    if category is not None:
        posed = [c for c in posed if c.get("name") == category]
    kinds = {tuple(map(str, entry["keypoints"])) for entry in posed}
    if len(kinds) != 1:
        names = [c.get("name") for c in categories if isinstance(c, dict)]
        raise ValueError(
            f"{source}: expected categories of one skeleton, got {len(kinds)} among "
            f"{names}; choose one by --category"
        )
    (keypoints,) = kinds
    limbs = posed[0].get("skeleton") or []
    try:
        limbs = [(int(a), int(b)) for a, b in limbs]
    except (TypeError, ValueError):
        raise ValueError(f"{source}: skeleton: expected pairs of numbers") from None
    first = 0 if any(0 in limb for limb in limbs) else 1
    inside = range(first, first + len(keypoints))
    labels = LabelSet(
        *("COCO", str(posed[0].get("name", "unnamed")), keypoints, []),
        limbs=tuple(
            (keypoints[a - first], keypoints[b - first])
            for a, b in limbs
            if a in inside and b in inside
        ),
        upright=False,
    )
    if len(posed) > 1:
        names = [entry.get("name") for entry in posed]
        labels.remarks.append(f"categories {names} are read as one")
    return labels, {str(entry.get("id")) for entry in posed}


def _pictures(
    source: Path, entries: Iterable[Any], images: Path | None
) -> dict[str, Picture]:
    folders = beside(source, images)
    pictures = {}
    for entry in entries:
        name = entry.get("file_name") if isinstance(entry, dict) else None
        sides = (entry.get("width"), entry.get("height")) if name else ()
        size = [side for side in map(whole_number, sides) if side and side > 0]
        if not isinstance(name, str) or len(size) != 2:
            raise ValueError(
                f"{source}: image: expected file_name, width and height, "
                f"got {shown(entry)}"
            )
        fields = {k: v for k, v in entry.items() if k not in _IMAGE_FIELDS}
        place = locate(name, folders) or (images or source.parent) / name
        picture = Picture(place, str(place.parent), [], named=name, fields=fields)
        picture.size = (size[0], size[1])
        pictures[str(entry.get("id"))] = picture
    return pictures


def _keypoints(source: Path, entry: dict[str, Any], count: int) -> np.ndarray:
    try:
        numbers = np.array(entry.get("keypoints") or [0.0] * 3 * count, np.float64)
        return numbers.reshape(count, 3)  # flat, or nested
    except (TypeError, ValueError):
        raise ValueError(
            f"{source}: annotation {shown(entry.get('id'))}: keypoints: expected "
            f"{3 * count} numbers, got {shown(entry.get('keypoints'))}"
        ) from None


def _extents(
    source: Path, entries: list[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes `[N, 4]` and areas `[N]`; NaN where an annotation has none."""
    boxes, areas = np.full((len(entries), 4), np.nan), np.full(len(entries), np.nan)
    for row, entry in enumerate(entries):
        for field, target in (("bbox", boxes), ("area", areas)):
            if entry.get(field) is None:
                continue
            try:
                target[row] = np.array(entry[field], np.float64)
            except (TypeError, ValueError):
                raise ValueError(
                    f"{source}: annotation {shown(entry.get('id'))}: {field}: expected "
                    f"numbers, got {shown(entry[field])}"
                ) from None
    return boxes, areas


def _make_pixels(
    keypoints: np.ndarray, boxes: np.ndarray, areas: np.ndarray, sizes: np.ndarray
) -> list[str]:
    """Turns what is in shares of the picture into pixels, in place; says what."""
    labelled, remarks = keypoints[keypoints[..., 2] > 0][:, :2], []
    if len(labelled) and np.nanmax(np.abs(labelled)) <= _MAX_SHARE:
        shares = np.ones(len(keypoints), bool)
    else:  # somebody whose points all lie in the first pixel, between its corners
        counted = keypoints[..., 2] > 0
        xy = keypoints[..., :2]
        in_first = ((xy >= 0) & (xy <= 1)).all(axis=-1) | ~counted
        broken = ((xy % 1 != 0).any(axis=-1) & counted).any(axis=-1)
        shares = in_first.all(axis=-1) & broken & (counted.sum(axis=-1) > 1)
    if shares.any():
        keypoints[shares, :, :2] *= sizes[shares, None]
        remarks.append(
            f"keypoints of {shares.sum()} annotations were shares of the picture, now "
            "they are pixels"
        )
    given = boxes[np.isfinite(boxes).all(axis=-1)]
    if len(given) and np.abs(given).max() <= _MAX_SHARE and given.any():
        boxes *= np.tile(sizes, 2)
        remarks.append("boxes were shares of the picture, now they are pixels")
    positive = areas[areas > 0]
    if len(positive) and positive.max() <= 1.0:
        areas *= sizes.prod(axis=-1)
        remarks.append("areas were shares of the picture, now they are pixels")
    return remarks

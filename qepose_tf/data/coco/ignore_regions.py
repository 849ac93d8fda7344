"""Regions in which the score loss must not count, as masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from qepose_tf.data.coco.numbers import (
    MAX_POSITION,
    list_of_numbers,
    whole_number,
)

Region = dict[str, Any] | list[list[float]]
"""COCO's forms: an RLE, its counts compressed or not, or a list of polygons."""


def box_region(box: np.ndarray) -> Region:
    """The polygon of a box `[4]` (x, y, width, height)."""
    x, y, width, height = (float(value) for value in box)
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def region_box(region: Region, height: int, width: int) -> np.ndarray:
    """The box `[4]` (x, y, width, height) around a usable region of an image."""
    from pycocotools import mask as coco_mask

    boxes = coco_mask.toBbox(encoded([region], height, width))
    low, high = boxes[:, :2].min(axis=0), (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    return np.concatenate([low, high - low])


def usable_region(segmentation: Any, height: int, width: int) -> Region | None:
    """A COCO `segmentation` that can be drawn on an image of this size, else None.

    Numbers may be text or floats, and a single polygon need not stand in a list.
    """
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if not isinstance(size, list) or len(size) != 2:
            return None
        if [whole_number(side) for side in size] != [height, width]:
            return None
        if isinstance(counts, str):
            lengths: list[int | None] = [*_run_lengths(counts)]
        elif isinstance(counts, list):
            counts = lengths = [whole_number(count) for count in counts]
        else:
            return None
        whole = [length for length in lengths if length is not None and length >= 0]
        # Of another sum, pycocotools would write beyond the mask.
        if len(whole) != len(lengths) or sum(whole) != height * width:
            return None
        return {"size": [int(height), int(width)], "counts": counts}
    if not isinstance(segmentation, list) or not segmentation:
        return None
    if not isinstance(segmentation[0], list):
        segmentation = [segmentation]
    polygons = [_polygon(polygon) for polygon in segmentation]
    usable = [polygon for polygon in polygons if polygon is not None]
    return usable if len(usable) == len(polygons) else None


def _run_lengths(code: str) -> list[int]:
    """The lengths in a compressed RLE's text, as `rleFrString` of pycocotools has them.

    Each is a number of 5-bit digits, low digits first, from the third one on as the
    difference to the length before the previous one.
    """
    lengths: list[int] = []
    number, shift = 0, 0
    for character in code:
        digit = ord(character) - 48
        if not 0 <= digit < 64:
            return []
        number |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                number -= 1 << shift
            lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
            number, shift = 0, 0
    return lengths if not shift else []


def rasterise(
    regions: list[Region], image_hw: tuple[int, int], mask_hw: tuple[int, int]
) -> np.ndarray:
    """Draws the union of regions on a mask of lower resolution.

    Args:
        regions: In pixels of the image.
        image_hw: Height and width of the image.
        mask_hw: Height and width of the mask.

    Returns:
        `[h, w]` uint8: 1 where at least half of the cell lies in a region.
    """
    if not regions:
        return np.zeros(mask_hw, np.uint8)
    from pycocotools import mask as coco_mask

    codes = encoded(regions, *image_hw)
    union = coco_mask.decode(coco_mask.merge(codes)) * np.uint8(255)
    small = Image.fromarray(union).resize(mask_hw[::-1], Image.Resampling.BOX)
    return (np.asarray(small) >= 128).astype(np.uint8)


def encoded(regions: Sequence[Region], height: int, width: int) -> list[dict[str, Any]]:
    """Regions as compressed RLEs, which is how `rasterise` draws all of them.

    Args:
        regions: In pixels of the image; of polygons each becomes an RLE of its own.
        height: Of the image.
        width: Of the image.

    Returns:
        COCO's RLEs, "size" `[height, width]` and "counts" in bytes.
    """
    # Imported late: prediction reads this package's data modules without needing it.
    from pycocotools import mask as coco_mask

    codes = []
    for region in regions:
        if isinstance(region, dict) and not isinstance(region["counts"], list):
            codes.append(region)
        else:  # polygons and uncompressed counts are encoded first
            code = coco_mask.frPyObjects(region, height, width)
            codes.extend(code if isinstance(code, list) else [code])
    return [{"size": [height, width], "counts": _bytes(c["counts"])} for c in codes]


def _bytes(counts: str | bytes) -> bytes:
    return counts.encode() if isinstance(counts, str) else counts


def _polygon(polygon: Any) -> list[float] | None:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return None
    numbers = list_of_numbers(polygon)
    if numbers is None or not all(abs(number) <= MAX_POSITION for number in numbers):
        return None
    return numbers

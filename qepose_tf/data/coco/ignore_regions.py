"""Regions in which the score loss must not count, as masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

Region = dict[str, Any] | list[list[float]]
"""COCO's forms: an RLE, its counts compressed or not, or a list of polygons."""


MAX_POSITION = 1e6  # px; nothing that is farther out is taken for a place


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


def usable_region(segmentation: Any, height: int, width: int) -> bool:
    """Whether a COCO `segmentation` can be drawn on an image of this size."""
    if isinstance(segmentation, dict):
        counts, size = segmentation.get("counts"), segmentation.get("size")
        if size != [height, width] or not all(type(side) is int for side in size):
            return False
        if isinstance(counts, list):
            whole = all(isinstance(count, int) and count >= 0 for count in counts)
            return whole and sum(counts) == height * width
        return isinstance(counts, str | bytes) and len(counts) > 0
    if not isinstance(segmentation, list) or not segmentation:
        return False
    return all(_usable_polygon(polygon) for polygon in segmentation)


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
        code = (
            coco_mask.frPyObjects(region, height, width) if _plain(region) else region
        )
        codes.extend(code if isinstance(code, list) else [code])
    return [{"size": [height, width], "counts": _bytes(c["counts"])} for c in codes]


def _bytes(counts: str | bytes) -> bytes:
    return counts.encode() if isinstance(counts, str) else counts


def _plain(region: Region) -> bool:
    """Polygons and uncompressed counts, which pycocotools encodes first."""
    return isinstance(region, list) or isinstance(region["counts"], list)


def _usable_polygon(polygon: Any) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    return all(
        isinstance(number, int | float) and abs(number) <= MAX_POSITION
        for number in polygon
    )

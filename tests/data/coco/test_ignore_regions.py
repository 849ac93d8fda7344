import numpy as np
from pycocotools import mask as coco_mask

from qepose_tf.data.coco.ignore_regions import rasterise


def square_counts(height, width):
    """Columns 4 to 7, rows 0 to 7 as COCO's column-major counts."""
    mask = np.zeros((height, width), np.uint8)
    mask[:8, 4:8] = 1
    flat = np.flatnonzero(np.diff(np.r_[0, mask.ravel("F"), 0]))
    return np.diff(np.r_[0, flat, mask.size]).tolist(), mask


def test_every_form_of_region_gives_the_same_mask():
    counts, mask = square_counts(16, 20)
    raw = {"size": [16, 20], "counts": counts}
    packed = coco_mask.frPyObjects(raw, 16, 20)
    text = {**packed, "counts": packed["counts"].decode()}
    polygon = [[4.0, 0.0, 8.0, 0.0, 8.0, 8.0, 4.0, 8.0]]
    expected = [[0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0] * 5, [0] * 5]
    assert mask[::4, ::4].tolist() == expected
    for region in (raw, packed, text, polygon):
        small = rasterise([region], (16, 20), (4, 5))
        np.testing.assert_array_equal(small, expected)
    union = rasterise([raw, [[0, 8, 20, 8, 20, 16, 0, 16]]], (16, 20), (4, 5))
    np.testing.assert_array_equal(union[2:], 1)
    np.testing.assert_array_equal(union[:2], expected[:2])
    np.testing.assert_array_equal(rasterise([], (16, 20), (4, 5)), np.zeros((4, 5)))

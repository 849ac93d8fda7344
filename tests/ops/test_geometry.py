import numpy as np
import pytest

from qepose_tf.ops.cells import cell_centres
from qepose_tf.ops.geometry import (
    STRIDE,
    fit_short_side,
    resize_matrix,
)
from qepose_tf.ops.upsampling import upsample
from tests.backends import to_numpy
from tests.points import moved


def test_resize_matrix_keeps_the_edges_of_the_image():
    # Half the height, a quarter of the width: x' = (x + 0.5) / 4 - 0.5.
    matrix = resize_matrix((100, 200), (50, 50))
    expected = [[0.25, 0, -0.375], [0, 0.5, -0.25], [0, 0, 1]]
    np.testing.assert_array_equal(matrix, expected)
    corners = moved(np.float32([[-0.5, -0.5], [199.5, 99.5]]), matrix)
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [49.5, 49.5]], atol=1e-5)


def test_resize_matrix_moves_points_as_resizing_moves_pixels():
    """In an image whose values are its coordinates, a pixel says where it was."""
    x, y = np.meshgrid(np.arange(8.0), np.arange(6.0))
    image = np.stack([x, y], axis=-1)[None].astype("float32")
    resized = to_numpy(upsample(image, 4, "bilinear"))[0]  # [24, 32, 2]
    inner = np.float32([[2, 3], [5, 1], [6, 4]])
    there = moved(inner, resize_matrix((6, 8), (24, 32)))
    # x' = 4 x + 1.5 lies in the middle of four pixels.
    np.testing.assert_array_equal(there, 4 * inner + 1.5)
    for source, (column, row) in zip(inner, np.floor(there).astype(int), strict=True):
        around = resized[row : row + 2, column : column + 2]
        np.testing.assert_allclose(around.mean(axis=(0, 1)), source, atol=1e-5)


@pytest.mark.parametrize(
    "height, width, short_side, resized, padded",
    [
        (480, 640, 512, (512, 683), (512, 704)),  # 640 * 512 / 480 = 682.7
        (640, 480, 512, (683, 512), (704, 512)),
        (512, 512, 512, (512, 512), (512, 512)),
        (1, 1, 512, (512, 512), (512, 512)),
        (4000, 200, 512, (10240, 512), (10240, 512)),
        (300, 301, 128, (128, 128), (128, 128)),
        (100, 100, 100, (100, 100), (128, 128)),
    ],
)
def test_fit_short_side(height, width, short_side, resized, padded):
    assert fit_short_side(height, width, short_side) == (resized, padded)


def test_fit_short_side_pads_to_any_multiple():
    assert fit_short_side(100, 130, 100, multiple=32) == ((100, 130), (128, 160))
    assert fit_short_side(100, 130, 100, multiple=1) == ((100, 130), (100, 130))


@pytest.mark.parametrize("arguments", [(0, 5, 8), (5, -1, 8), (5, 5, 0), (5, 5, 8, 0)])
def test_fit_short_side_refuses_sides_below_one(arguments):
    with pytest.raises(ValueError, match="expected height, width.*at least 1, got"):
        fit_short_side(*arguments)


def test_cell_centres_run_along_the_rows():
    cells = to_numpy(cell_centres(2, 3))
    assert cells.dtype == np.int32
    expected = [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    np.testing.assert_array_equal(cells, expected)


def test_the_stride_is_four():
    assert STRIDE == 4

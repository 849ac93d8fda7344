import numpy as np
import pytest
from PIL import Image, ImageOps

from qepose_tf.images.header import read_header
from qepose_tf.images.orientation import turned, turned_back

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_equals_pillow_and_is_undone(orientation):
    picture = Image.fromarray(PIXELS)
    picture.getexif()[0x0112] = orientation
    upright = turned(PIXELS, orientation)
    np.testing.assert_array_equal(upright, ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(turned_back(upright, orientation), PIXELS)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_header_has_the_stored_size(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(tmp_path / f"a.{suffix}", exif=exif)
    assert read_header(tmp_path / f"a.{suffix}") == (20, 30, orientation)


def test_an_orientation_that_does_not_exist_is_none(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 77
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert read_header(tmp_path / "a.jpg").orientation == 1

import numpy as np
import pytest
from PIL import Image

from qepose_tf.images.frames import frames_of

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)]


def pages(count=4):
    return [Image.new("RGB", (8, 6), colour) for colour in COLOURS[:count]]


def save(path, images, **options):
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_every_frame_in_any_order(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"several.{suffix}", pages(), **options)
    frames = frames_of(path)
    assert [frame.number for frame in frames] == [1, 2, 3, 4]
    again = frames[0].reader.again()
    for row in (0, 1, 3, 2, 0):
        pixels = frames[row].pixels()
        assert pixels.shape == (6, 8, 3)
        np.testing.assert_array_equal(pixels[3, 4], COLOURS[row])
        np.testing.assert_array_equal(again.read(row + 1), pixels)
    assert str(frames[2]) == f"{path}, frame 3"


def test_one_picture_has_no_frames(tmp_path):
    assert frames_of(save(tmp_path / "one.gif", pages(1))) == []
    assert frames_of(save(tmp_path / "views.mpo", pages(2))) == []
    assert frames_of(tmp_path / "missing.gif") == []
    (tmp_path / "noise.gif").write_bytes(b"GIF89a and nothing else")
    assert frames_of(tmp_path / "noise.gif") == []


def test_small_copies_of_a_page_are_no_pages(tmp_path):
    first, second, third = pages(3)
    second.encoderinfo = {"tiffinfo": {254: 1}}  # a preview
    path = save(tmp_path / "photo.tif", [first, second])
    assert frames_of(path) == []
    path = save(tmp_path / "book.tif", [first, second, third])
    frames = frames_of(path)
    assert [frame.number for frame in frames] == [1, 2]
    np.testing.assert_array_equal(frames[1].pixels()[0, 0], COLOURS[2])


def test_a_broken_frame_is_named(tmp_path):
    path = save(tmp_path / "cut.gif", pages())
    frames = frames_of(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(ValueError, match="cut.gif, frame 4: broken image"):
        frames[3].pixels()

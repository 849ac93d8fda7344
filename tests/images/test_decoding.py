import io

import numpy as np
import pytest
from PIL import Image

from qepose_tf.images.decoding import read_image, resize_image

RGB = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 99, 199], [0, 0, 0], [255] * 3]],
    np.uint8,
)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_rgb_is_read_as_it_is(tmp_path):
    path = saved(tmp_path / "rgb.png", Image.fromarray(RGB))
    assert read_image(path, exif=False).dtype == np.uint8
    np.testing.assert_array_equal(read_image(path, exif=False), RGB)
    np.testing.assert_array_equal(read_image(str(path), exif=True), RGB)
    np.testing.assert_array_equal(read_image(path.read_bytes(), exif=False), RGB)


def test_grey_fills_all_channels(tmp_path):
    grey = np.array([[0, 128, 255]], np.uint8)
    path = saved(tmp_path / "grey.png", Image.fromarray(grey))
    expected = np.repeat(grey[..., None], 3, -1)
    np.testing.assert_array_equal(read_image(path, exif=False), expected)


def test_one_bit_is_black_and_white(tmp_path):
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    path = saved(tmp_path / "bits.png", bits)
    np.testing.assert_array_equal(read_image(path, exif=False)[0, :, 0], [0, 255])


def test_sixteen_bit_grey_is_scaled(tmp_path):
    values = np.array([[0, 257 * 100, 65535]], np.uint16)
    path = saved(tmp_path / "deep.png", Image.fromarray(values))
    np.testing.assert_array_equal(read_image(path, exif=False)[0, :, 1], [0, 100, 255])


def test_floats_are_0_to_255(tmp_path):
    values = np.array([[-5.0, 99.8, np.nan, 700.0]], np.float32)
    path = saved(tmp_path / "float.tiff", Image.fromarray(values))
    expected = [0, 100, 0, 255]
    np.testing.assert_array_equal(read_image(path, exif=False)[0, :, 0], expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_show_white(tmp_path, mode):
    black = Image.new(mode, (2, 1))
    black.putpixel((1, 0), (0, 0, 0, 255)[-len(mode) :])
    path = saved(tmp_path / "alpha.png", black)
    np.testing.assert_array_equal(read_image(path, exif=False)[0, :, 0], [255, 0])


def test_palette_with_and_without_transparency(tmp_path):
    palette = Image.fromarray(RGB).quantize(6)
    opaque = saved(tmp_path / "palette.png", palette)
    np.testing.assert_array_equal(read_image(opaque, exif=False), RGB)
    index = palette.getpixel((0, 0))
    clear = saved(tmp_path / "clear.png", palette, transparency=index)
    expected = RGB.copy()
    expected[0, 0] = 255
    np.testing.assert_array_equal(read_image(clear, exif=False), expected)


def test_cmyk(tmp_path):
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan: pure red
    path = saved(tmp_path / "print.jpg", cmyk, quality=100)
    red = read_image(path, exif=False)
    assert red.shape == (8, 8, 3)
    np.testing.assert_array_equal(red[4, 4], [255, 0, 0])


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    path = saved(
        tmp_path / "moving.gif", frames[0], save_all=True, append_images=frames[1:]
    )
    np.testing.assert_array_equal(read_image(path, exif=False)[0, 0], [255, 0, 0])


def test_exif_orientation_is_applied_on_request_only(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show the picture rotated clockwise
    path = saved(tmp_path / "turned.png", Image.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(read_image(path, exif=False), RGB)
    np.testing.assert_array_equal(read_image(path, exif=True), np.rot90(RGB, -1))


@pytest.mark.parametrize("height, width", [(1, 1), (200, 4000), (4000, 200)])
def test_extreme_shapes(tmp_path, height, width):
    path = saved(tmp_path / "shape.png", Image.new("RGB", (width, height), "red"))
    assert read_image(path, exif=False).shape == (height, width, 3)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.jpg: no such image file"):
        read_image(tmp_path / "absent.jpg", exif=False)


def test_folder_is_named(tmp_path):
    with pytest.raises(OSError, match="cannot read the image"):
        read_image(tmp_path, exif=False)


def test_empty_file_is_named(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="empty.jpg: expected an image, got an empty"):
        read_image(tmp_path / "empty.jpg", exif=False)


def test_random_bytes_are_named(tmp_path):
    (tmp_path / "noise.jpg").write_bytes(np.random.default_rng(0).bytes(999))
    with pytest.raises(ValueError, match="noise.jpg: expected an image, got an unk"):
        read_image(tmp_path / "noise.jpg", exif=False)
    with pytest.raises(ValueError, match="image bytes: expected an image"):
        read_image(b"no image", exif=False)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("kept", [0.1, 0.6])
def test_truncated_file_is_named(tmp_path, format, kept):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format)
    content = buffer.getvalue()
    path = tmp_path / "cut"
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ValueError, match="cut: (broken|expected an) image"):
        read_image(path, exif=False)


def test_resizing_keeps_pixel_areas():
    steps = np.arange(8, dtype=np.uint8)[None].repeat(4, 0) * 20
    # Halving averages pairs: pixel 0 of the result stands between pixels 0 and 1.
    half = resize_image(steps, 2, 4)
    np.testing.assert_array_equal(half[:, 1:3], [[50, 90]] * 2)
    assert resize_image(RGB, 2, 3) is RGB

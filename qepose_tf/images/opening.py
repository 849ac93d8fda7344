"""Opens image files with Pillow and gives every fault one clear message."""

import contextlib
import functools
import io
import struct
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

# Pillow warns above 89 million pixels and refuses images of twice as many, which is
# less than some phones take. An image of this limit still fits into memory.
MAX_PIXELS = 2**29
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, 2 * MAX_PIXELS)

# The errors that Pillow's decoders raise for damaged files, depending on the format.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
# The brands in the first box of a HEIF file. AVIF, which Pillow reads, has others.
_HEIF_BRANDS = frozenset(
    b"heic heix heim heis hevc hevx hevm hevs mif1 msf1 heif".split()
)


class UnknownFormatError(ValueError):
    """Pillow does not know the format of the content."""


class _RefusedError(ValueError):
    """The file cannot be used; the message is complete and is not changed."""


@contextmanager
def opened(content: bytes | Path, name: str) -> Generator[Image.Image, None, None]:
    """A context with `open_image` and `named_faults` that closes the image."""
    with named_faults(name), open_image(content, name) as image:
        yield image


@contextmanager
def named_faults(name: str) -> Generator[None, None, None]:
    """A context that names the image in the errors that Pillow raises.

    Raises:
        FileNotFoundError: The file does not exist.
        OSError: The file cannot be read.
        ValueError: The image is broken.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{name}: no such image file") from None
    except (UnknownFormatError, _RefusedError):
        raise
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(f"{name}: cannot read the image, {error.strerror}") from None
        reason = " ".join(str(error).split())
        raise ValueError(f"{name}: broken image, {reason}") from None


def open_image(content: bytes | Path, name: str) -> Image.Image:
    """Opens an image and reads its header, but not its pixels.

    Args:
        content: The content of the file, or its path; of a path only the header is
            read.
        name: The name of the image in messages.

    Raises:
        OSError: The file cannot be read, or is broken.
        UnknownFormatError: The format is unknown.
        ValueError: The file is empty, the image is too large, or its format needs a
            package that is not installed.
    """
    try:
        image = Image.open(_file(content))
    except Image.UnidentifiedImageError:
        image = _unidentified(content, name)
    if image.width * image.height > MAX_PIXELS:
        raise _RefusedError(
            f"{name}: expected at most {MAX_PIXELS / 1e6:.0f} million pixels, "
            f"got {image.width}x{image.height}; make the picture smaller"
        )
    return image


def _unidentified(content: bytes | Path, name: str) -> Image.Image:
    head = _head(content)
    if not head:
        raise _RefusedError(f"{name}: expected an image, got an empty file")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif(name)
        with contextlib.suppress(Image.UnidentifiedImageError):
            return Image.open(_file(content))
    raise UnknownFormatError(f"{name}: expected an image, got an unknown format")


def _file(content: bytes | Path) -> io.BytesIO | Path:
    return io.BytesIO(content) if isinstance(content, bytes) else content


def _head(content: bytes | Path) -> bytes:
    if isinstance(content, bytes):
        return content[:12]
    with content.open("rb") as file:
        return file.read(12)


def _register_heif(name: str) -> None:
    """Registers HEIF with Pillow.

    Raises:
        ValueError: The package pillow-heif is not installed.
    """
    try:
        _heif_opener()
    except ImportError:
        raise _RefusedError(
            f"{name}: HEIC pictures need pillow-heif: pip install 'qepose-tf[heic]'"
        ) from None


@functools.cache
def _heif_opener() -> None:
    # Imported here because the package is optional.
    import pillow_heif

    pillow_heif.register_heif_opener()

"""Picture files opened by Pillow: what can be opened, and what is said where not."""

import contextlib
import functools
import io
import struct
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

# Pillow warns from 89 million pixels on and refuses twice as many, which is less than
# today's phones have. The limit here is that of a picture that fits into memory.
MAX_PIXELS = 2**29
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, 2 * MAX_PIXELS)

# What Pillow's decoders raise on a damaged file, depending on the format.
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
# What the first box of a HEIF file may say; AVIF, which Pillow reads, has others.
_HEIF_BRANDS = frozenset(
    b"heic heix heim heis hevc hevx hevm hevs mif1 msf1 heif".split()
)


class UnknownFormatError(ValueError):
    """The content is that of no picture that Pillow reads."""


class _RefusedError(ValueError):
    """The picture is sound and cannot be read here; the text says all."""


@contextmanager
def opened(content: bytes | Path, name: str) -> Generator[Image.Image, None, None]:
    """As `open_image`, closed again, with `named_faults` of all that is done inside."""
    with named_faults(name), open_image(content, name) as image:
        yield image


@contextmanager
def named_faults(name: str) -> Generator[None, None, None]:
    """Names the picture in whatever Pillow raises.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The file cannot be read.
        ValueError: The picture is broken.
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
    """Opens a picture; its header is read, its pixels are not.

    Args:
        content: Of the file, or its path, of which only the beginning is then read.
        name: What messages call it.

    Raises:
        OSError: The file cannot be read, or is broken.
        UnknownFormatError: The format is unknown.
        ValueError: The file is empty, the picture is too large, or its format needs a
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
    """Teaches Pillow to open HEIF.

    Raises:
        ValueError: The package for it is not installed.
    """
    try:
        _heif_opener()
    except ImportError:
        raise _RefusedError(
            f"{name}: HEIC pictures need pillow-heif: pip install 'qepose-tf[heic]'"
        ) from None


@functools.cache
def _heif_opener() -> None:
    # Imported late: it is an extra.
    import pillow_heif

    pillow_heif.register_heif_opener()

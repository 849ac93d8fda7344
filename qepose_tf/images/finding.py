"""Lists the images and videos of paths, folders and glob patterns."""

import glob
import importlib.util
import logging
from collections.abc import Iterable
from pathlib import Path

from qepose_tf.images.drawn_files import is_drawing
from qepose_tf.images.video_sources import VIDEO_SUFFIXES, is_drawn_video, is_stream

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .jif .jfi .mpo .png .apng .bmp .dib .gif .webp .tif .tiff "
    ".ppm .pgm .pbm .pnm .jp2 .j2k .jpx .jpf .avif .avifs .heic .heif .hif .tga".split()
)


def find_images(
    sources: Iterable[str | Path] | str | Path, out: Path | None = None
) -> list[Path]:
    """Lists the image files of paths, folders and glob patterns.

    A file is listed whatever its suffix is. Folders (without their subfolders) and
    patterns give the files with the suffix of an image, sorted, without drawings of
    `qepose predict`. Each file is listed once.

    Args:
        sources: One path, folder or pattern, or several.
        out: The folder in which drawings will be written. Earlier drawings in it are
            left out even if they are named, because a shell may have expanded a
            pattern to their names.

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: A folder or a pattern gives no image, or there is no source.
    """
    found = _found(sources, out, IMAGE_SUFFIXES, streams=False)
    return [Path(source) for source in found]


def find_sources(
    sources: Iterable[str | Path] | str | Path, out: Path | None = None
) -> list[Path | str]:
    """As `find_images`, with videos, and with the cameras and URLs that are named.

    Folders and patterns give videos where PyAV is installed.

    Args:
        sources: Paths, folders, patterns, `camera:0` or URLs; one or several.
        out: See `find_images`.

    Returns:
        Paths of images and videos, and cameras and URLs as they were named.

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: A folder or a pattern gives nothing, or there is no source.
    """
    suffixes = IMAGE_SUFFIXES
    if importlib.util.find_spec("av"):
        suffixes |= VIDEO_SUFFIXES
    return _found(sources, out, suffixes, streams=True)


def _found(
    sources: Iterable[str | Path] | str | Path,
    out: Path | None,
    suffixes: frozenset[str],
    streams: bool,  # and videos, as far as PyAV is installed
) -> list[Path | str]:
    if isinstance(sources, str | Path):
        sources = [sources]
    found: dict[Path | str, Path | str] = {}
    drawings = 0
    for source in sources:
        if streams and is_stream(source):
            found.setdefault(source, source)
            continue
        for path in _matches(source, suffixes, streams):
            if out is not None and path.parent.resolve() == out.resolve():
                if _is_drawn(path):
                    drawings += 1
                    continue
            found.setdefault(path.resolve(), path)
    if drawings:
        logger.info("%s: %d drawings of an earlier run are left out", out, drawings)
    if not found:
        got = f"{drawings} drawings of an earlier run" if drawings else "no source"
        raise ValueError(f"expected an image, a folder or a pattern, got {got}")
    return list(found.values())


def _is_drawn(path: Path) -> bool:
    return is_drawing(path) or is_drawn_video(path)


def _matches(source: str | Path, suffixes: frozenset[str], videos: bool) -> list[Path]:
    path = Path(source)
    # The name of an existing file, such as a[1].jpg, is never read as a pattern.
    if path.is_file():
        return [path]
    if path.is_dir():
        candidates = list(path.iterdir())
    elif glob.has_magic(str(source)):
        candidates = [Path(name) for name in glob.glob(str(source), recursive=True)]
    else:
        raise FileNotFoundError(f"{source}: no such file or folder")
    files = sorted(p for p in candidates if p.is_file())
    images = [p for p in files if p.suffix.lower() in suffixes]
    photos = [p for p in images if not _is_drawn(p)]
    if len(photos) < len(images):
        drawings = len(images) - len(photos)
        logger.info("%s: %d drawings of an earlier run are left out", source, drawings)
    unread = [p for p in files if p.suffix.lower() in VIDEO_SUFFIXES - suffixes]
    if videos and unread:
        logger.info(
            "%s: %d videos are left out: pip install 'qepose-tf[video]'",
            *(source, len(unread)),
        )
    if len(images) < len(files):
        logger.info(
            "%s: %d files are left out, their names are not those of images (first: "
            "%s); a file that is named itself is read whatever its name",
            *(source, len(files) - len(images)),
            next(p.name for p in files if p not in images),
        )
    if not photos:
        others = " but drawings of an earlier run" if images else ""
        raise ValueError(f"{source}: expected images, found none{others}")
    return photos

"""The image files that paths, folders and patterns stand for."""

import glob
from collections.abc import Iterable
from pathlib import Path

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .jp2 .avif".split()
)


def find_images(sources: Iterable[str | Path] | str | Path) -> list[Path]:
    """Lists the image files that paths, folders and glob patterns stand for.

    Files are taken whatever their name ends in; folders (not those below them) and
    patterns give files with an image's suffix, sorted. Each file is listed once.

    Raises:
        FileNotFoundError: if a path doesn't exist.
        ValueError: if a folder or a pattern holds no image, or nothing was asked for.
    """
    if isinstance(sources, str | Path):
        sources = [sources]
    found: dict[Path, Path] = {}
    for source in sources:
        for path in _matches(source):
            found.setdefault(path.resolve(), path)
    if not found:
        raise ValueError("expected an image, a folder or a pattern, got no source")
    return list(found.values())


def _matches(source: str | Path) -> list[Path]:
    path = Path(source)
    # A file may be called a[1].jpg: what exists is never read as a pattern.
    if path.is_file():
        return [path]
    if path.is_dir():
        candidates = list(path.iterdir())
    elif glob.has_magic(str(source)):
        candidates = [Path(name) for name in glob.glob(str(source), recursive=True)]
    else:
        raise FileNotFoundError(f"{source}: no such file or folder")
    images = [p for p in candidates if p.suffix.lower() in IMAGE_SUFFIXES]
    images = sorted(p for p in images if p.is_file())
    if not images:
        raise ValueError(f"{source}: expected images, found none")
    return images

"""Files that were named on another machine: where they are on this one."""

import json
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit


def locate(name: str, folders: Iterable[Path | None]) -> Path | None:
    """Finds a file by a name that may be a path or URL of another machine.

    Args:
        name: A path with slashes or backslashes, or a URL.
        folders: Where to look; None is passed over.

    Returns:
        The first existing file: the name itself where it is absolute, then below each
        folder the whole of the name and ever fewer of its last parts. None if there is
        no such file.
    """
    folders = [folder for folder in folders if folder is not None]
    for text in _readings(name):
        if Path(text).is_absolute() and Path(text).is_file():
            return Path(text)
        parts = [part for part in PurePosixPath(text).parts if part not in ("/", "..")]
        for first in range(len(parts)):
            for folder in folders:
                candidate = folder.joinpath(*parts[first:])
                if candidate.is_file():
                    return candidate
    return None


def _readings(name: str) -> Iterator[str]:
    """The paths that a name can mean: as it is, Windows', macOS', and of a URL."""
    yield name
    if "\\" in name:
        yield name.replace("\\", "/")
    # The same letters in other bytes: a disk of macOS takes accents apart.
    for form in ("NFC", "NFD"):
        if not unicodedata.is_normalized(form, name):
            yield unicodedata.normalize(form, name)
    if "://" in name or "?" in name or "%" in name:
        parts = urlsplit(name)
        # Label Studio's own server: /data/local-files/?d=folder/picture.jpg
        if parts.query.startswith("d="):
            yield unquote(parts.query[2:])
        yield unquote(parts.path).lstrip("/")


def beside(source: Path, images: Path | None) -> list[Path | None]:
    """Where the pictures of a file with labels usually lie."""
    folder = source if source.is_dir() else source.parent
    return [images, folder, folder / "images", folder.parent, folder.parent / "images"]


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected a text file in UTF-8") from None


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, {error}") from None

"""Names of images as other systems write them, found under the name they have here."""

import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

from qepose_tf.data.coco.problems import Problems, one_line
from qepose_tf.files.locations import Url


def files_exist(images_dir: Path | Url, names: list[str]) -> list[bool]:
    """Whether there is a file of each name in a folder.

    Raises:
        OSError: The folder cannot be read.
    """
    if isinstance(images_dir, Path):
        folder = str(images_dir)
        return [os.path.isfile(os.path.join(folder, name)) for name in names]
    # One question per folder: each takes as long as a file would.
    below = {posixpath.dirname(name) for name in names}
    found = {name: _names_in(images_dir / name) for name in below}
    return [
        posixpath.basename(name) in found[posixpath.dirname(name)] for name in names
    ]


def find_renamed(
    entries: list[dict[str, Any]], images_dir: Path | Url, problems: Problems
) -> list[dict[str, Any]]:
    r"""Gives images whose file has another name here that name.

    Windows writes `a\b.jpg`, Label Studio `a%20b.jpg`, and macOS takes letters with
    accents apart. A name is only changed where no file has it and one has the other.

    Args:
        entries: The `images` of a COCO file.
        images_dir: The folder that file names are relative to.
        problems: Is told how many have another name.

    Returns:
        The entries, those with another name as copies.
    """
    odd: dict[str, list[str]] = {}
    for entry in entries:
        name = entry.get("file_name")
        if isinstance(name, str) and name not in odd:
            others = list(dict.fromkeys(_other_names(name)))
            if others:
                odd[name] = others
    if not odd:
        return entries
    asked = list(
        dict.fromkeys([*odd, *(name for names in odd.values() for name in names)])
    )
    there = dict(zip(asked, files_exist(images_dir, asked), strict=True))
    renamed = {
        name: found
        for name, others in odd.items()
        if not there[name]
        and (found := next((other for other in others if there[other]), None))
    }
    if renamed:
        first, name = next(iter(renamed.items()))
        problems.warn(
            f"{len(renamed)} file names are written otherwise than the files are named "
            f"(backslashes, %20 or accents) and were found (first: {one_line(first)} "
            f"is {one_line(name)})"
        )
    return [
        {**entry, "file_name": renamed[entry["file_name"]]}
        if isinstance(entry.get("file_name"), str) and entry["file_name"] in renamed
        else entry
        for entry in entries
    ]


def _other_names(name: str) -> Iterator[str]:
    if not ("\\" in name or "%" in name or not name.isascii()):
        return
    for slashes in (name, name.replace("\\", "/")):
        for text in (slashes, unquote(slashes)):
            for form in (text, normalize("NFC", text), normalize("NFD", text)):
                if form and form != name:
                    yield form


def _names_in(folder: Path | Url) -> set[str]:
    return folder.names() if isinstance(folder, Url) else set()

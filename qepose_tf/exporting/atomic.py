"""A file or folder that appears completely or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(path: Path, overwrite: bool, marker: str | None) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block ends well.

    Args:
        path: of the finished file or folder; missing parents are made.
        overwrite: whether `path` may exist.
        marker: a folder is only overwritten where it holds a file of this name; None
            where a file is written.

    Yields:
        A path that does not exist yet, in a temporary folder beside `path`.

    Raises:
        FileExistsError: `path` exists and may not be overwritten.
    """
    check_free(path, overwrite, marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{path.name}.", dir=path.parent
    ) as folder:
        written = Path(folder) / path.name
        yield written
        if path.is_dir():
            os.replace(path, Path(folder) / "replaced")
        os.replace(written, path)


def check_free(path: Path, overwrite: bool, marker: str | None) -> None:
    """Raises `FileExistsError` where `written_whole` would; before any long work."""
    if not path.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{path}: exists; ask for overwriting or name another")
    replaceable = (path / marker).is_file() if marker else path.is_file()
    if not replaceable:
        expected = f"a folder that holds {marker}" if marker else "a file"
        raise FileExistsError(f"{path}: only {expected} is overwritten, and it is none")

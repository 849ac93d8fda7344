"""Files and folders that are there completely or not at all."""

import contextlib
import glob
import os
import shutil
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path

from qepose_tf.files.interrupts import raise_if_interrupted

_DISK_ERRORS = ("No space left", "iostream error")
_NOTHING_LEFT = 2**16  # bytes; below it a disk is full, whatever a writer says


def writable_folder(path: str | Path) -> Path:
    """Makes a folder with its parents and checks that files can be written to it.

    Called before long work, so that a wrong path costs a second and not a run.

    Raises:
        OSError: The folder cannot be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OSError(
            f"{path}: expected a writable folder, {os.strerror(error.errno or 0)}"
        ) from None
    return path


def check_can_be_made(path: str | Path) -> None:
    """Checks that a folder could be made and written, and makes nothing.

    Raises:
        OSError: A file stands in its way, or the place where it would be made is not
            writable.
    """
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise OSError(f"{path}: expected a writable folder, {place} is a file")
    if not os.access(place, os.W_OK):
        raise OSError(f"{path}: expected a writable folder, {place} is not writable")


@contextlib.contextmanager
def whole(
    path: str | Path, durable: bool = False, even_interrupted: bool = False
) -> Generator[Path]:
    """Yields a temporary path that is renamed to `path` at the end of the block.

    Where the block fails, what it wrote is removed, and what stood at `path` stays.

    Args:
        path: The file, which may exist, or the folder, which may not.
        durable: Wait until the file is on the disk, so that a power cut leaves either
            the old file or the new one.
        even_interrupted: Rename it although Ctrl-C was pressed: what was written is
            of use without the rest.

    Yields:
        A path beside it that does not exist yet, with the same suffixes.

    Raises:
        OSError: It cannot be written or renamed.
        KeyboardInterrupt: Ctrl-C was pressed, and a library swallowed it.
    """
    path = Path(path)
    # Several threads and processes may write the same file.
    writer = f"{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f".{writer}-{path.name}")
    try:
        yield temporary
        if not even_interrupted:
            raise_if_interrupted()
        if durable:
            publish(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def left_behind(path: str | Path) -> list[Path]:
    """Returns the temporary files of `whole` that a killed process has left.

    Nobody else may be writing the file: a file that is being written is one of them.

    Args:
        path: The file that was to be written.
    """
    path = Path(path)
    return sorted(path.parent.glob(f".*-*-{glob.escape(path.name)}"))


def write_file(
    path: str | Path, content: str | bytes, *, durable: bool = False
) -> None:
    """Writes a file that is there completely or not at all.

    Args:
        path: The file.
        content: Text is written as UTF-8.
        durable: See `whole`.

    Raises:
        OSError: The file cannot be written.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with whole(path, durable) as temporary:
        temporary.write_bytes(data)


def publish(temporary: Path, target: Path) -> None:
    """Gives a written file its name as soon as all of it is on the disk.

    Args:
        temporary: The file, on the target's file system.
        target: Its name; a file of this name is replaced.

    Raises:
        OSError: The file cannot be renamed or written to the disk.
    """
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Writes a rename to the disk, on systems on which folders can be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def written_whole(path: Path, overwrite: bool, marker: str | None) -> Generator[Path]:
    """Yields a temporary path that becomes `path` when the block succeeds.

    Args:
        path: The finished file or folder. Missing parents are made, and are removed
            again where the block fails.
        overwrite: Whether `path` may exist.
        marker: A folder is only overwritten where it holds a file of this name; None
            where a file is written.

    Yields:
        A path that does not exist yet, in a temporary folder beside `path`.

    Raises:
        FileExistsError: `path` exists and may not be overwritten.
        OSError: The disk is full.
        KeyboardInterrupt: Ctrl-C was pressed, and a library swallowed it.
    """
    check_free(path, overwrite, marker)
    new = [p for p in (path.parent, *path.parent.parents) if not p.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(
            prefix=f".{path.name}.", dir=path.parent
        ) as folder:
            written = Path(folder) / path.name
            with _full_disk_named(path):
                yield written
            raise_if_interrupted()
            if path.is_dir():
                os.replace(path, Path(folder) / "replaced")
            os.replace(written, path)
    except BaseException:
        for folder in new:
            with contextlib.suppress(OSError):  # somebody else's file is in it
                folder.rmdir()
        raise


def check_free(path: Path, overwrite: bool, marker: str | None) -> None:
    """Raises the `FileExistsError` of `written_whole`, before any long work."""
    if not path.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{path}: exists; ask for overwriting or name another")
    replaceable = (path / marker).is_file() if marker else path.is_file()
    if not replaceable:
        expected = f"a folder that holds {marker}" if marker else "a file"
        raise FileExistsError(
            f"{path}: only {expected} is overwritten, and this is none"
        )


@contextlib.contextmanager
def _full_disk_named(path: Path) -> Generator[None]:
    """Turns the errors that libraries raise when a disk is full into an `OSError`."""
    try:
        yield
    except Exception as error:
        for folder in (path.parent, Path(tempfile.gettempdir())):
            if shutil.disk_usage(folder).free < _NOTHING_LEFT:
                raise OSError(
                    f"{path}: cannot be written, no space left in {folder}"
                ) from error
        # Some take back what they have written, so that there is space again.
        if any(words in str(error) for words in _DISK_ERRORS):
            raise OSError(
                f"{path}: cannot be written, there is probably no space left"
            ) from error
        raise

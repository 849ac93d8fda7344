"""Output files: refused early where impossible, else there completely or not at all."""

import os
import tempfile
from pathlib import Path


def writable_folder(path: str | Path) -> Path:
    """Makes a folder, parents included, and tries whether files can stand in it.

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


def write_file(
    path: str | Path, content: str | bytes, *, durable: bool = False
) -> None:
    """Writes beside the target and renames, so that no half-written file stays.

    Args:
        path: of the file.
        content: text is written as UTF-8.
        durable: wait until the disk has it, so that a power cut leaves the old file
            or the new one.

    Raises:
        OSError: The file cannot be written.
    """
    path = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide it from others
        if durable:
            publish(Path(temporary), path)
        else:
            os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def publish(temporary: Path, target: Path) -> None:
    """Gives a written file its name, when the disk has all of it.

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
    """Makes a rename last; systems that cannot open folders do so by themselves."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_between_marks(document: str | Path, name: str, text: str) -> None:
    """Replaces what a document has between its marks; all else stays as it is.

    Args:
        document: Markdown with `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
        name: of the marks.
        text: without them.

    Raises:
        ValueError: The document has no such marks.
    """
    first, last = (f"<!-- {name}: {edge} -->" for edge in ("begin", "end"))
    content = Path(document).read_text("utf-8")
    before, begin, rest = content.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{document}: expected the marks {first} and {last}")
    write_file(document, f"{before}{first}\n{text}\n{last}{after}")

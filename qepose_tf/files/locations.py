"""Where files are: local paths, and URLs that TensorFlow's file systems read."""

import dataclasses
import errno
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclasses.dataclass(frozen=True)
class Url:
    """A file or folder such as `gs://bucket/name`, with what readers need of `Path`.

    `pathlib` would take the two slashes for one. Errors are those of local files.

    Attributes:
        text: The URL, without a slash at its end.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, other: "str | Path | Url") -> "Path | Url":
        place = location(other)
        if isinstance(place, Url) or place.is_absolute():
            return place
        below = place.as_posix()
        slash = "" if self.text.endswith("/") else "/"  # as `ram://` does
        return self if below == "." else Url(f"{self.text}{slash}{below}")

    def __rtruediv__(self, other: str | Path) -> "Url":
        return self

    @property
    def name(self) -> str:
        """What stands behind the last slash."""
        return self.text.rpartition("/")[2]

    def resolve(self) -> "Url":
        """The URL: it is absolute."""
        return self

    def is_file(self) -> bool:
        """Whether there is a file, and no folder, of this name."""
        with _os_errors(self) as gfile:
            return gfile.exists(self.text) and not gfile.isdir(self.text)

    def stat(self) -> SimpleNamespace:
        """`st_size` in bytes and `st_mtime_ns`.

        Raises:
            OSError: There is no such file, or it cannot be asked.
        """
        with _os_errors(self) as gfile:
            found = gfile.stat(self.text)
        return SimpleNamespace(st_size=found.length, st_mtime_ns=found.mtime_nsec)

    def names(self) -> set[str]:
        """Names of the files in this folder; of a folder that isn't there, none.

        Raises:
            OSError: The folder cannot be read.
        """
        try:
            with _os_errors(self) as gfile:
                return set(gfile.listdir(self.text))
        except FileNotFoundError:
            return set()

    def read_bytes(self) -> bytes:
        """The whole file.

        Raises:
            OSError: There is no such file, or it cannot be read.
        """
        with _os_errors(self) as gfile, gfile.GFile(self.text, "rb") as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """The whole file, decoded.

        Raises:
            OSError: There is no such file, or it cannot be read.
            ValueError: It is not in this encoding.
        """
        return self.read_bytes().decode(encoding)

    def open(self) -> Any:
        """The file as TensorFlow's `GFile`, to read bytes from anywhere in it."""
        with _os_errors(self) as gfile:
            return gfile.GFile(self.text, "rb")

    def read_at(self, file: Any, offset: int, length: int) -> bytes:
        """Bytes of the opened file; fewer where it ends.

        Raises:
            OSError: They cannot be read.
        """
        with _os_errors(self):
            file.seek(offset)
            return file.read(length)


Location = str | Path | Url


def location(place: Location) -> Path | Url:
    """A local path or, where the text begins with a scheme as `gs://`, a URL."""
    if isinstance(place, Url):
        return place
    if isinstance(place, str) and _SCHEME.match(place):
        bare = place.rstrip("/")
        return Url(place if bare.endswith(":") else bare)
    return Path(place)


@contextmanager
def _os_errors(url: Url) -> Generator[Any]:
    """TensorFlow's file functions; what they raise becomes an `OSError`."""
    # Imported late: it takes seconds, and local files do without.
    import tensorflow as tf

    try:
        yield tf.io.gfile
    except tf.errors.NotFoundError:
        reason = os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, reason, str(url)) from None
    except tf.errors.UnimplementedError:
        reason = "TensorFlow has no such file system here"
        raise OSError(errno.ENOSYS, reason, str(url)) from None
    except tf.errors.OpError as error:
        reason = str(error.message).splitlines()[0]
        raise OSError(errno.EIO, reason, str(url)) from None

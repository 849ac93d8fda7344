"""One process at a time in a folder."""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class FolderLock:
    """Keeps other processes out of a folder until it is closed.

    The operating system releases the lock when the process ends, however it ends. On
    Windows and on file systems without locks no process is kept out.

    Args:
        folder: The folder, which exists.

    Raises:
        BlockingIOError: Another process has the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._handle: int | None = None
        if fcntl is None:
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError:  # a file system without locks
            os.close(handle)
        else:
            self._handle = handle

    def close(self) -> None:
        """Gives the folder to other processes."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

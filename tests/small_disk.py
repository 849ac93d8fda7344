"""A real disk that fills up: a small tmpfs, which only root can mount."""

import os
import subprocess
from contextlib import contextmanager

import pytest


@contextmanager
def mounted_disk(parent, size):
    """A folder in `parent` that holds `size` (as tmpfs has it: 1200k); or a skip."""
    folder = parent / "disk"
    folder.mkdir()
    if os.name != "posix" or os.geteuid():
        pytest.skip("only root mounts a small disk")
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(words, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield folder
    # Lazily: a test that failed may have left a process in it.
    subprocess.run(["umount", "-l", str(folder)], check=True)

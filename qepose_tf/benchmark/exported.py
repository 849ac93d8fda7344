"""Loads an exported file in a process that imports its runtime and little else."""

from pathlib import Path

import numpy as np

from qepose_tf.benchmark.worker import Loaded
from qepose_tf.inference.runtimes import RUNTIMES


def start(format: str, path: Path, images: np.ndarray) -> Loaded:
    """Loads an exported file.

    Args:
        format: A key of `inference.runtimes.RUNTIMES`.
        path: The file or folder.
        images: `[B, H, W, 3]` uint8, the argument of the timed call `detect`.
    """
    run = RUNTIMES[format]()(str(path))
    return Loaded({"detect": lambda: run(images)}, run)

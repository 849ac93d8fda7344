"""Loads an exported file in a process that imports its runtime and little else."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

import qepose_tf
from qepose_tf.benchmark.worker import Loaded


def start(format: str, path: Path, images: np.ndarray) -> Loaded:
    """Loads an exported file.

    Args:
        format: A key of `exporting.checks.runner.RUNTIMES`.
        path: The file or folder.
        images: `[B, H, W, 3]` uint8, the argument of the timed call `detect`.
    """
    run = _runner().RUNTIMES[format]()(str(path))
    return Loaded({"detect": lambda: run(images)}, run)


def _runner() -> ModuleType:
    """Loads the module `runner` by its path, for its package imports TensorFlow."""
    file = Path(qepose_tf.__file__).parent / "exporting" / "checks" / "runner.py"
    spec = importlib.util.spec_from_file_location("runner", file)
    assert spec is not None and spec.loader is not None  # as for every .py file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

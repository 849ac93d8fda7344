"""An exported file, in a process that imports its runtime and little else."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

import qepose_tf
from qepose_tf.benchmark.worker import Loaded


def start(format: str, path: Path, images: np.ndarray) -> Loaded:
    """Loads a file.

    Args:
        format: a key of `exporting.runner.RUNTIMES`.
        path: of the file or folder.
        images: uint8 `[B, H, W, 3]`, what the timed call `detect` takes.
    """
    run = _runner().RUNTIMES[format]()(str(path))
    return Loaded({"detect": lambda: run(images)}, run)


def _runner() -> ModuleType:
    """The module as a file: its package would bring TensorFlow along."""
    file = Path(qepose_tf.__file__).parent / "exporting" / "checks" / "runner.py"
    spec = importlib.util.spec_from_file_location("runner", file)
    assert spec is not None and spec.loader is not None  # as for every .py file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

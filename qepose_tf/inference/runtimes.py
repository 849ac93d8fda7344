"""Exported models as functions from images to arrays, each in its own runtime.

A runtime is imported when it is asked for. This module needs no other one of this
package, for `exporting.checks.runner` loads it by its path.
"""

import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

INPUT = "images"
Run = Callable[[np.ndarray], dict[str, Any]]  # from images to arrays by name
Load = Callable[[str], Run]


def saved_model() -> Load:
    """Imports TensorFlow and returns how it loads a SavedModel."""
    import tensorflow as tf

    def load(path: str) -> Run:
        loaded = tf.saved_model.load(path)
        serve = loaded.signatures["serving_default"]

        def run(images: np.ndarray) -> dict[str, Any]:
            # The model has to be kept, for a signature does not keep it alive.
            assert loaded is not None
            outputs = serve(**{INPUT: tf.constant(images)})
            return {name: value.numpy() for name, value in outputs.items()}

        return run

    return load


def tflite() -> Load:
    """Imports LiteRT, or TensorFlow's interpreter if LiteRT is not installed."""
    if importlib.util.find_spec("ai_edge_litert"):
        from ai_edge_litert.interpreter import Interpreter
    else:
        # TensorFlow loads this module by itself, which no type checker sees.
        from tensorflow.lite import Interpreter  # ty: ignore[missing-module-member]

        # TensorFlow 2.20 says that a later version moves the class to LiteRT.
        warnings.filterwarnings("ignore", message=r"(?s).*tf\.lite\.Interpreter is dep")

    def load(path: str) -> Run:
        interpreter = Interpreter(path, num_threads=os.cpu_count())
        interpreter.allocate_tensors()  # or the first call would do, and log, it
        serve = interpreter.get_signature_runner("serving_default")
        return lambda images: serve(**{INPUT: images})

    return load


def onnx() -> Load:
    """Imports ONNX Runtime and returns how it loads a file."""
    from onnxruntime import InferenceSession

    def load(path: str) -> Run:
        session = InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda images: dict(
            zip(names, session.run(names, {INPUT: images}), strict=True)
        )

    return load


def openvino() -> Load:
    """Imports OpenVINO and returns how it loads a folder, or its `.xml`."""
    # OpenVINO's import alone would report its use. None in `sys.modules` is how Python
    # is told that a module cannot be imported, though its annotation has modules only.
    sys.modules["openvino_telemetry"] = None  # ty: ignore[invalid-assignment]
    import openvino

    def load(path: str) -> Run:
        file = Path(path) / "pose.xml" if Path(path).is_dir() else path
        compiled = openvino.Core().compile_model(str(file), "CPU")

        def run(images: np.ndarray) -> dict[str, Any]:
            found = compiled({INPUT: images})
            return {output.any_name: found[output] for output in compiled.outputs}

        return run

    return load


RUNTIMES = {start.__name__: start for start in (saved_model, tflite, onnx, openvino)}

"""Runs an exported model on arrays, in a process that has only the model's runtime.

`python runner.py RUNTIME` imports the runtime and waits for a line on stdin: a JSON
list of the path of a model and that of a folder. It reads `0.npy`, `1.npy`, ... from
the folder, each uint8 `[B, H, W, 3]`, and writes `0.npz`, `1.npz`, ... with the outputs
by name, and `seconds.json` with the time of each call. No other module of this package
is imported.
"""

import importlib.util
import json
import os
import sys
import time
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
    """Imports OpenVINO and returns how it loads a folder for the CPU."""
    # OpenVINO's import alone would report its use. None in `sys.modules` is how Python
    # is told that a module cannot be imported, though its annotation has modules only.
    sys.modules["openvino_telemetry"] = None  # ty: ignore[invalid-assignment]
    import openvino

    def load(path: str) -> Run:
        file = str(Path(path) / "pose.xml")
        compiled = openvino.Core().compile_model(file, "CPU")

        def run(images: np.ndarray) -> dict[str, Any]:
            found = compiled({INPUT: images})
            return {output.any_name: found[output] for output in compiled.outputs}

        return run

    return load


RUNTIMES = {start.__name__: start for start in (saved_model, tflite, onnx, openvino)}


def main(runtime: str) -> None:
    """Runs a model on every batch once, in order.

    Args:
        runtime: A key of `RUNTIMES`.
    """
    load = RUNTIMES[runtime]()
    model, folder = json.loads(sys.stdin.readline())
    run = load(model)
    seconds = []
    for number in range(len(list(Path(folder).glob("*.npy")))):
        images = np.load(Path(folder) / f"{number}.npy")
        started = time.perf_counter()
        outputs = run(images)
        seconds.append(time.perf_counter() - started)
        np.savez(Path(folder) / f"{number}.npz", **outputs)
    (Path(folder) / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Exported files: told from others, their metadata read, and loaded."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qepose_tf.inference.runtimes import RUNTIMES, Run

METADATA = "pose.json"
SUFFIXES = {".tflite": "tflite", ".onnx": "onnx", ".xml": "openvino"}
_MARKERS = {"saved_model.pb": "saved_model", "pose.xml": "openvino"}
_PACKAGES = {
    "saved_model": "tensorflow",
    "tflite": "ai-edge-litert",
    "onnx": "onnxruntime",
    "openvino": "openvino",
}
_EXTRAS = {"tflite": "[litert]", "onnx": "[onnx]", "openvino": "[openvino]"}


def format_of(path: str | Path) -> tuple[str, Path] | None:
    """Tells an exported model by its name, or a folder by what is in it.

    Args:
        path: A file or folder; a SavedModel may lie in a folder of versions, of which
            the highest is taken.

    Returns:
        A key of `RUNTIMES` and what the runtime loads; None if it is something else.
    """
    path = Path(path)
    if path.suffix.lower() in SUFFIXES and not path.is_dir():
        return SUFFIXES[path.suffix.lower()], path
    if not path.is_dir():
        return None
    versions = [p for p in path.iterdir() if p.name.isdigit() and p.is_dir()]
    for folder in (path, *sorted(versions, key=lambda p: -int(p.name))):
        for marker, format in _MARKERS.items():
            if (folder / marker).is_file():
                return format, folder if format == "saved_model" else folder / marker
    return None


def found_model(path: Path) -> tuple[str, Path]:
    """As `format_of`, of what has to be an exported model.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It is something else.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected an exported model, found none")
    found = format_of(path)
    if found is None:
        raise ValueError(
            f"{path}: expected a {', '.join(SUFFIXES)} file or the folder of a "
            "SavedModel, as `qepose export` writes them"
        )
    return found


def metadata(format: str, path: Path) -> Any:
    """The content of `pose.json`, from wherever the format keeps it.

    Raises:
        ValueError: There is none: the file was not written by `qepose export`.
        ImportError: ONNX Runtime, which reads ONNX files, is not installed.
    """
    read = {
        "saved_model": lambda: (path / "assets.extra" / METADATA).read_text("utf-8"),
        "tflite": lambda: zipfile.ZipFile(path).read(METADATA),
        "onnx": lambda: _onnx_property(path),
        "openvino": lambda: path.with_name(METADATA).read_text("utf-8"),
    }[format]
    try:
        return json.loads(read())
    except (OSError, LookupError, ValueError, zipfile.BadZipFile):
        raise ValueError(
            f"{path}: expected a model that `qepose export` wrote, but it has no "
            f"{METADATA}, which would say what its keypoints are"
        ) from None


def _onnx_property(path: Path) -> str:
    onnxruntime = _imported("onnx", lambda: __import__("onnxruntime"))
    options = onnxruntime.SessionOptions()
    # Only the metadata are of interest: the graph need not be made fast.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel(0)
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the runtime's error classes have no public base
        raise ValueError(str(error)) from error
    return session.get_modelmeta().custom_metadata_map[METADATA]


def loaded(format: str, path: Path) -> Run:
    """Loads an exported model into its runtime.

    Raises:
        ValueError: It does not load.
        ImportError: The runtime is not installed.
    """
    load = _imported(format, RUNTIMES[format])
    try:
        return load(str(path))
    except Exception as error:  # each runtime has error classes of its own
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(
            f"{path}: expected a {format} model, but it does not load: {reason}"
        ) from error


def _imported(format: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except ImportError as error:
        raise ImportError(
            f"{_PACKAGES[format]} is not installed: pip install "
            f"'qepose-tf{_EXTRAS.get(format, '')}'"
        ) from error

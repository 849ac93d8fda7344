"""The targets of W32 at 512 px, computed from the rows of `qepose benchmark`."""

from collections.abc import Mapping, Sequence
from typing import Any

from qepose_tf.benchmark import peers, stages
from qepose_tf.benchmark.report import Target

_EIGHT_BIT = ("dynamic", "int8")
_FILES = ("tflite", "onnx", "openvino")


def inference_targets(rows: Sequence[Mapping[str, Any]]) -> list[Target]:
    """Returns the targets whose rows were measured.

    Args:
        rows: The rows in the JSON file of the benchmark.
    """
    by_name = {row["name"]: row for row in rows}
    ours, fastest = stages.PIXELS, _fastest(rows)

    def figure(name: str | None, column: str) -> float | None:
        return by_name[name].get(column) if name in by_name else None

    def ratio(name: str, other: str) -> float | None:
        first, second = figure(name, "median ms"), figure(other, "median ms")
        return None if first is None or second is None else first / second

    peer = figure(fastest, "x torch")
    figures = (
        (f"{stages.REST}, share of the whole", figure(stages.REST, "of whole"), 0.10),
        (f"{ours} / our body", figure(ours, "x body"), 1.25),
        (f"{ours} / torch body fp32", figure(ours, "x torch"), 1.2),
        (f"fastest file ({fastest}) / {peers.BODY}", peer, 0.45),
        (f"{fastest}: px from Keras, greatest", peer and figure(fastest, "max px"), 1),
        (f"tflite fp32 / {ours}", ratio("tflite fp32", ours), 1.25),
        ("tflite int8 / tflite fp32", ratio("tflite int8", "tflite fp32"), 0.5),
    )
    return [
        Target(name, value, target)
        for name, value, target in figures
        if value is not None
    ]


def _fastest(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Returns the name of the fastest exported file that is not in eight bits."""
    files = {
        row["name"]: row["median ms"]
        for row in rows
        if row["name"].split()[0] in _FILES
        and row["name"].split()[-1] not in _EIGHT_BIT
    }
    return min(files, key=files.__getitem__, default=None)

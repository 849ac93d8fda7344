"""Runs an exported model on arrays, in a process that has only the model's runtime.

`python runner.py RUNTIME` imports the runtime and waits for a line on stdin: a JSON
list of the path of a model and that of a folder. It reads `0.npy`, `1.npy`, ... from
the folder, each uint8 `[B, H, W, 3]`, and writes `0.npz`, `1.npz`, ... with the outputs
by name, and `seconds.json` with the time of each call. Of this package, it loads
`inference/runtimes.py` alone, by its path.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path

import numpy as np

_RUNTIMES = Path(__file__).parents[2] / "inference" / "runtimes.py"


def main(runtime: str) -> None:
    """Runs a model on every batch once, in order.

    Args:
        runtime: A key of `inference.runtimes.RUNTIMES`.
    """
    spec = importlib.util.spec_from_file_location("runtimes", _RUNTIMES)
    assert spec is not None and spec.loader is not None  # as for every .py file
    runtimes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runtimes)
    load = runtimes.RUNTIMES[runtime]()
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

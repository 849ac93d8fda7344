"""A run that is killed again and again, beside one that is not.

Each run is a fork of one process that has imported everything, for importing
TensorFlow takes longer than a run. Usage:

    python -m tests.training.killed_runs FOLDER KILLS SEED
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import tensorflow as tf

from qepose_tf.config.schema import Config
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.training.run import train
from tests.micro_body import MICRO

TIMEOUT = 300  # seconds, of one run


def config_of(folder, run):
    scenes = {"train_scenes": 8, "val_scenes": 2, "image_size": 80}
    return Config.model_validate(
        {
            "name": "killed",
            "model": {"backbone": "tiny", "input_size": 64},
            "data": {"min_area": 0.0, "synthetic": {**scenes, "folder": folder}},
            "train": {
                "epochs": 12,
                "batch_size": 4,
                "warmup_steps": 5,
                "drop_epochs": [5],
                "ema_momentum": 0.9,
                "validate_every": 4,
                "checkpoint_steps": 1,
                "strategy": "one_device",
                "num_gpus": 0,
                "deterministic": True,
                "run_dir": folder / run,
            },
        }
    )


def start(folder, run):
    """The process id of a run in a fork."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        train(config_of(folder, run), progress=False)
        code = 0
    finally:
        os._exit(code)


def until(condition, child):
    """Waits for something, or for the end of the run; returns its exit status."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if condition():
            return None
        time.sleep(0.0005)
    raise TimeoutError(f"process {child}")


def kill(folder, kind, chance):
    """Starts the run, kills it at some moment, and says how it ended."""
    checkpoints = folder / "killed/checkpoints"
    before = set(os.listdir(checkpoints)) if checkpoints.exists() else set()
    began = time.monotonic()
    delay = chance.uniform(0, 4)

    def written():
        return checkpoints.exists() and bool(set(os.listdir(checkpoints)) - before)

    def half_written():
        names = os.listdir(checkpoints) if checkpoints.exists() else ()
        return any(name.startswith(".") and name not in before for name in names)

    moments = {
        "any time": lambda: time.monotonic() - began > delay,
        "some time after a checkpoint": written,
        "while a checkpoint is written": half_written,
    }
    child = start(folder, "killed")
    status = until(moments[kind], child)
    if status is None:
        if kind == "some time after a checkpoint":
            time.sleep(chance.uniform(0, 0.5))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    run = folder / "killed"
    names = os.listdir(run) if run.exists() else ()
    left = [name for name in names if name.startswith(".")]
    return {"kind": kind, "status": os.waitstatus_to_exitcode(status), "left": left}


def main(folder, kills, seed):
    # To trace a step takes longer than the few steps of a start take without.
    VARIANTS["tiny"] = MICRO
    tf.config.run_functions_eagerly(True)
    warnings.filterwarnings("ignore", message="(?s).*does not apply to tf.data")
    chance = random.Random(seed)
    kinds = ["any time"] + 2 * ["some time after a checkpoint"]
    kinds += 2 * ["while a checkpoint is written"]
    ends = [until(lambda: False, start(folder, "whole"))]
    report = [kill(folder, kinds[i % len(kinds)], chance) for i in range(kills)]
    ends.append(until(lambda: False, start(folder, "killed")))
    print(json.dumps({"kills": report, "ends": ends}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

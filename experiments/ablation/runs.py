"""Trains the rows in processes of their own, except those that are finished."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.ablation.rows import BODY_WEIGHTS, ROWS, body_config, row_config
from qepose_tf.config.schema import Config
from qepose_tf.files.whole_files import write_file

logger = logging.getLogger(__name__)

RESULT = "result.json"
BODY = "body"
# Two runs in parallel with one thread each finish earlier than one after the other.
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
_WAIT = 0.5  # seconds between two looks at the running processes


@dataclass
class _Job:
    name: str
    log: Path
    process: subprocess.Popen
    started: float = field(default_factory=time.monotonic)


def train_row(row: str, seed: int, folder: Path, overrides: tuple = ()) -> None:
    """Trains one row, or `body`, in this process and writes its result last of all."""
    from qepose_tf.models import load_model
    from qepose_tf.training.run import train
    from qepose_tf.weights import save_body

    body = row == BODY
    config = (
        body_config(folder, overrides)
        if body
        else row_config(row, seed, folder, overrides)
    )
    started = time.monotonic()
    trained = train(config, progress=False, overwrite=True)
    if body:
        save_body(load_model(trained.model).body, folder / BODY_WEIGHTS)
    result = {
        "row": row,
        "seed": seed,
        "config": config.model_dump(mode="json"),
        "model": str(trained.model),
        "seconds": round(time.monotonic() - started, 1),
        **trained.metrics,
    }
    write_file(config.run_dir / RESULT, json.dumps(result, indent=1))


def read_result(config: Config) -> dict | None:
    """The result of a run of exactly this config; None where there is none."""
    try:
        result = json.loads((config.run_dir / RESULT).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        logger.warning("%s: not JSON, trained again", config.run_dir / RESULT)
        return None
    same = result.get("config") == config.model_dump(mode="json")
    return result if same else None


def run_all(
    folder: Path,
    rows: Sequence[str],
    seeds: Sequence[int],
    jobs: int,
    overrides: tuple = (),
) -> list[dict]:
    """Trains what is missing and returns every result, seed by seed.

    Raises:
        RuntimeError: a run failed; the message names its log. The other runs were
            finished first, and the next call does only what is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_scenes(row_config(rows[0], 0, folder, overrides))
    body = body_config(folder, overrides)
    if read_result(body) is None or not (folder / BODY_WEIGHTS).exists():
        _run_jobs([(BODY, 0)], 1, folder, overrides)
    asked = [(row, seed) for seed in seeds for row in rows]
    configs = {job: row_config(*job, folder, overrides) for job in asked}
    missing = [job for job in asked if read_result(configs[job]) is None]
    logger.info(
        "%d of %d runs are there already", len(asked) - len(missing), len(asked)
    )
    _run_jobs(missing, jobs, folder, overrides)
    found = [read_result(configs[job]) for job in asked]
    return [result for result in found if result is not None]


def _write_scenes(config: Config) -> None:
    """Once and here: two processes must not write the same folder."""
    from qepose_tf.building import read_datasets
    from qepose_tf.skeleton import Skeleton

    read_datasets(config, Skeleton.load(config.skeleton, config.data.categories))


def _run_jobs(
    jobs: list[tuple[str, int]], at_once: int, folder: Path, overrides: tuple
) -> None:
    waiting, running, failed = list(jobs), [], []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_start(*waiting.pop(0), folder, at_once, overrides))
            time.sleep(_WAIT)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                _report(job, len(jobs) - len(waiting) - len(running), len(jobs))
                if job.process.returncode:
                    failed.append(job)
    finally:
        for job in running:  # interrupted: no run may go on by itself
            job.process.terminate()
        for job in running:
            job.process.wait()
    if failed:
        names = ", ".join(job.name for job in failed)
        raise RuntimeError(f"{names} failed, see {failed[0].log}")


def _start(row: str, seed: int, folder: Path, at_once: int, overrides: tuple) -> _Job:
    name = f"{row}-seed{seed}"
    words = [sys.executable, "-m", "experiments.ablation", "--folder", str(folder)]
    words += ["--one", row, str(seed), *overrides]
    environment = dict(os.environ)
    if at_once > 1:
        environment |= dict.fromkeys(_THREADS, "1")
    log = folder / f"{name}.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    return _Job(name, log, process)


def _report(job: _Job, done: int, total: int) -> None:
    seconds = time.monotonic() - job.started
    outcome = "done" if job.process.returncode == 0 else "FAILED"
    logger.info("%s %s in %.0f s (%d of %d)", job.name, outcome, seconds, done, total)


def known_rows(names: Sequence[str]) -> list[str]:
    """The rows asked for, all by default.

    Raises:
        ValueError: there is no such row.
    """
    for name in names:
        if name not in ROWS:
            raise ValueError(f"expected rows of {', '.join(ROWS)}, got {name!r}")
    return list(names or ROWS)

"""Two real processes on loopback."""

import inspect
import json
import signal
import socket
import time

import keras
import pytest
from keras.src.backend.tensorflow import trainer

from qepose_tf.config.reading import dump_config
from qepose_tf.training.run_folder.state import newest_checkpoint
from tests.training.test_run import make_config

# Seconds after which a worker knows that another one is gone; see docs/TRAINING.md.
NOTICED = 120
pytestmark = pytest.mark.slow


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def process(forks, path, index=None, ports=()):
    environment = {"CUDA_VISIBLE_DEVICES": ""}
    if index is not None:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    return forks.start("tests.training.devices.worker", path, env=environment)


def two_workers(forks, path):
    ports = free_ports(2)
    return [process(forks, path, index, ports) for index in range(2)]


def end(processes, seconds):
    """(exit code, stdout, stderr) of each."""
    ends = []
    try:
        for one in processes:
            output, errors = one.communicate(timeout=seconds)
            ends.append((one.returncode, output, errors))
    finally:
        for one in processes:
            one.kill()
            one.wait()
    return ends


def written_config(folder, run, **settings):
    path = folder / f"{run}.yaml"
    settings = {"run_dir": folder / run, "checkpoint_steps": 1, **settings}
    dump_config(make_config(folder, **settings), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def runs(forks, folder):
    """What one process with two devices and two processes with one report."""
    mirrored = written_config(folder, "mirrored", strategy="mirrored")
    workers = written_config(folder, "workers", strategy="multi_worker_mirrored")
    ends = end([process(forks, mirrored)], 300)
    ends += end(two_workers(forks, workers), 300)
    for code, _, errors in ends:
        assert code == 0, errors[-3000:]
    return [json.loads(output.splitlines()[-1]) for _, output, _ in ends]


def test_two_workers_have_the_losses_of_two_devices(runs):
    mirrored, *workers = runs
    assert len(mirrored["steps"]) == 6
    for worker in workers:
        for step, expected in zip(worker["steps"], mirrored["steps"], strict=True):
            for name in ("loss", "score_loss", "offset_loss"):
                assert step[name] == pytest.approx(expected[name], abs=1e-5), name


def test_the_chief_alone_validates_and_writes(runs, folder):
    mirrored, chief, other = runs
    assert chief["history"]["val_ap"] == pytest.approx(mirrored["history"]["val_ap"])
    assert "val_ap" not in other["history"]
    names = [
        sorted(p.name for p in (folder / run).iterdir())
        for run in ("mirrored", "workers")
    ]
    assert names[0] == names[1]


@pytest.fixture(scope="module")
def bereaved(forks, folder):
    """A run whose second worker is killed in the middle of an epoch.

    It accumulates, which Keras' own way cannot with several replicas.
    """
    settings = {"strategy": "multi_worker_mirrored", "epochs": 100_000}
    settings |= {"accumulate": 2}
    path = written_config(folder, "bereaved", **settings, validate_every=100_000)
    workers = two_workers(forks, path)
    checkpoints = folder / "bereaved/checkpoints"
    deadline = time.monotonic() + 300
    while len(list(checkpoints.glob("step-*"))) < 2:
        assert workers[0].poll() is None, workers[0].communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    workers[1].kill()
    killed = time.monotonic()
    ends = end(workers, NOTICED)
    return path, ends, time.monotonic() - killed


def test_the_others_end_with_a_clear_line(bereaved):
    _, ends, seconds = bereaved
    (code, _, errors), (killed, _, _) = ends
    assert killed == -signal.SIGKILL and code == 1
    assert seconds < NOTICED
    last = errors.strip().splitlines()[-1]
    assert last.startswith("qepose: another worker is gone (")
    assert "start all of them again with the same command" in last


def test_the_job_resumes_from_the_checkpoint(bereaved, forks, folder):
    path, _, _ = bereaved
    checkpoints = folder / "bereaved/checkpoints"
    reached = newest_checkpoint(checkpoints)[1].total_steps
    workers = two_workers(forks, path)
    deadline = time.monotonic() + 300
    while newest_checkpoint(checkpoints)[1].total_steps < reached + 2:
        assert workers[0].poll() is None, workers[0].communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    workers[1].send_signal(signal.SIGTERM)
    ends = end(workers, 120)
    assert [code for code, _, _ in ends] == [75, 75]
    assert all(f"resuming {folder}/bereaved" in errors for _, _, errors in ends)


def test_keras_still_needs_the_first_mend():
    """When this fails, `leave_out_symbolic_build` can go."""
    source = inspect.getsource(keras.Model._maybe_symbolic_build)
    assert "self.distribute_strategy.reduce(" in source
    assert '"MEAN",' in source and "axis=None" in source


def test_keras_still_needs_the_second_mend():
    """When this fails, `with_an_axis` can go."""
    source = inspect.getsource(trainer.reduce_per_replica)
    assert 'strategy.reduce("MEAN", v, axis=0)' in source

"""What holds for every test."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.counted_skips import CountedSkips
from tests.exporting.answering_process import answering_process
from tests.forked_process import Forks, forks_in

ROOT = Path(__file__).parent
# The import of OpenVINO alone reports its use; see `exporting.openvino_ir`.
sys.modules.setdefault("openvino_telemetry", None)

# The file that a worker takes last bounds the whole: these are taken first.
LONGEST = (
    *("training/test_survival.py", "test_tutorial.py", "benchmark/test_scripts.py"),
    *("test_debug_run.py", "training/devices/test_multi_worker.py"),
    *("experiments/ablation/test_check.py", "weights/test_dekr.py"),
    *("training/devices/test_mirrored.py", "training/test_precision.py"),
    *("benchmark/test_side_by_side.py", "exporting/formats/test_saved_model.py"),
    *("exporting/formats/test_tflite.py", "exporting/formats/test_openvino.py"),
    *("weights/test_timm_parity.py", "exporting/test_export_command.py"),
    *("training/test_run.py", "training/test_step.py", "models/test_dekr.py"),
    *("training/test_freezing.py", "examples/test_clients.py", "test_front_door.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order of `LONGEST`, then the others as they were."""
    places = {ROOT / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """The garbage collector leaves alone what was imported and collected.

    TensorFlow and the tests are about a million objects that stay to the end, and to
    walk through them again and again takes more than a twentieth of a session's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="module")
def micro_body() -> Iterator[None]:
    """The backbone `tiny` is `MICRO`, for files that test what is not the body."""
    from qepose_tf.models.hrnet import VARIANTS
    from tests.micro_body import MICRO

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", MICRO)
        yield


@pytest.fixture(scope="module")
def shallow_body() -> Iterator[None]:
    """The backbone `tiny` is `SHALLOW`, where scores have to differ, too."""
    from qepose_tf.models.hrnet import VARIANTS
    from tests.micro_body import SHALLOW

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", SHALLOW)
        yield


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts processes in which TensorFlow and the package are imported already."""
    with forks_in(tmp_path_factory.mktemp("forks")) as forks:
        yield forks


@pytest.fixture(scope="session")
def answering() -> Iterator[Callable]:
    """One process for all SavedModels; see `answering_process`."""
    with answering_process() as waiting:
        yield waiting


@pytest.fixture(scope="module")
def one_process(answering: Callable) -> Iterator[None]:
    """Runs the SavedModels that a file's tests write, for each start takes seconds.

    The tests of the format itself, of the command and of the clients go without it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qepose_tf.exporting.exporter.waiting_process", answering)
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Where CI is set, a skip needs a reason in `allowed_skips`.

    The processes that pytest-xdist starts report theirs to the one that judges.
    """
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(CountedSkips(), "counted-skips")

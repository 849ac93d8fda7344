"""What holds for every test."""

import os
import sys
from collections.abc import Iterator

import pytest

from tests.counted_skips import CountedSkips

# The import of OpenVINO alone reports its use; see `exporting.openvino_ir`.
sys.modules.setdefault("openvino_telemetry", None)


@pytest.fixture(scope="module")
def micro_body() -> Iterator[None]:
    """The backbone `tiny` is `MICRO`, for files that test what is not the body."""
    from qepose_tf.models.hrnet import VARIANTS
    from tests.micro_body import MICRO

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", MICRO)
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Where CI is set, a skip needs a reason in `allowed_skips`.

    The processes that pytest-xdist starts report theirs to the one that judges.
    """
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(CountedSkips(), "counted-skips")

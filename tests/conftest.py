"""What holds for every test."""

import os
import sys

import pytest

from tests.counted_skips import CountedSkips

# The import of OpenVINO alone reports its use; see `exporting.openvino_ir`.
sys.modules.setdefault("openvino_telemetry", None)


def pytest_configure(config: pytest.Config) -> None:
    """Where CI is set, a skip needs a reason in `allowed_skips`.

    The processes that pytest-xdist starts report theirs to the one that judges.
    """
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(CountedSkips(), "counted-skips")

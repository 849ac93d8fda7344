"""Fails a session whose skips are not all in `ALLOWED_SKIPS`."""

import pytest

from tests.allowed_skips import is_allowed


class CountedSkips:
    """Notes every skip, of a test or of a whole file, and judges them at the end."""

    def __init__(self) -> None:
        self.unexpected: dict[str, str] = {}

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        # What is expected to fail is reported as a skip as well.
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not is_allowed(report.nodeid, reason):
            self.unexpected[report.nodeid] = reason

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's setup, call and teardown."""
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file: where a module is missing, all of it is skipped."""
        self._note(report)

    # After pytest-xdist has set the status of its own.
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turns a success into a failure."""
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Names the skips and what to do about them."""
        if not self.unexpected:
            return
        terminalreporter.section("skips that are not allowed", red=True)
        for test, reason in self.unexpected.items():
            terminalreporter.line(f"SKIPPED {test}: {reason}")
        terminalreporter.line(
            "expected every test to run where CI is set: install what is missing, or "
            "give the reason in tests/allowed_skips.py"
        )

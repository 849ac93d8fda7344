"""Continuous integration fails on a skip that nobody has given a reason for."""

from pathlib import Path

import pytest

from tests.allowed_skips import ALLOWED_SKIPS, is_allowed

pytest_plugins = ["pytester"]

# Some package installs a `tests` of its own, which must not come first.
CONFTEST = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from tests.conftest import pytest_configure
"""
TESTS = """
import pytest

@pytest.mark.skipif(True, reason="this CPU does not compute in bfloat16")
def test_bf16_rounds():
    pass

def test_runs():
    pass

@pytest.mark.xfail
def test_expected_to_fail():
    assert False
"""
UNEXPECTED = """
import pytest

def test_needs_a_program():
    pytest.skip("needs node and chromium")
"""
MISSING = """
import pytest
pytest.importorskip("no_such_module")
"""
ALLOWED = "tests/exporting/formats/test_openvino.py"


@pytest.fixture
def session(pytester, monkeypatch):
    """Runs files, given by name, in a session where CI is set, and returns its end."""
    monkeypatch.setenv("CI", "true")
    # Of the processes that run this test, where there are several.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makeconftest(CONFTEST)

    def run(files, *options):
        for name, content in {ALLOWED: TESTS, **files}.items():
            path = pytester.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        words = ("-p", "no:cacheprovider", "--import-mode=importlib", *options)
        return pytester.runpytest_subprocess(*words)

    return run


def test_a_skip_with_a_reason_passes(session):
    ended = session({})
    assert ended.ret == pytest.ExitCode.OK
    ended.assert_outcomes(passed=1, skipped=1, xfailed=1)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "two at once"])
def test_other_skips_fail_the_session_and_are_named(session, options):
    files = {"tests/test_page.py": UNEXPECTED, "tests/test_missing.py": MISSING}
    ended = session(files, *options)
    assert ended.ret == pytest.ExitCode.TESTS_FAILED
    ended.stdout.fnmatch_lines_random(
        [
            "*skips that are not allowed*",
            "SKIPPED tests/test_page.py::test_needs_a_program: needs node and chromium",
            "SKIPPED tests/test_missing.py: could not import 'no_such_module'*",
            "*give the reason in tests/allowed_skips.py",
        ]
    )
    ended.stdout.no_fnmatch_line("SKIPPED *test_bf16_rounds*")


def test_without_ci_nothing_is_counted(session, monkeypatch):
    monkeypatch.delenv("CI")
    ended = session({"tests/test_page.py": UNEXPECTED})
    assert ended.ret == pytest.ExitCode.OK
    ended.assert_outcomes(passed=1, skipped=2, xfailed=1)


def test_the_reason_counts_and_not_the_test_alone():
    test = f"{ALLOWED}::test_bf16_rounds"
    assert is_allowed(test, "this CPU does not compute in bfloat16")
    assert not is_allowed(test, "the extra openvino is not installed")
    assert not is_allowed("tests/test_page.py", "this CPU does not compute in bfloat16")


def test_every_entry_says_why():
    assert all(len(allowed.why.split()) > 3 for allowed in ALLOWED_SKIPS.values())

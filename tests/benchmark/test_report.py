import json
import math

import pytest

from qepose_tf.benchmark.report import Report, Target, shown, table


def test_targets_are_held_or_not():
    assert Target("t", 1.0, 1.0).held
    assert not Target("t", 1.1, 1.0).held
    assert Target("t", 1.0, 1.0, "higher").held
    assert not Target("t", 0.9, 1.0, "higher").held
    for better in ("lower", "higher"):
        assert not Target("t", math.nan, 1.0, better).held


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.123456, "0.123"), (1234.5, "1234"), (12345, "12,345"), ("a", "a")],
)
def test_cells(value, text):
    assert shown(value) == text


def test_a_table_has_the_columns_of_all_rows():
    lines = table([{"name": "a", "ms": 1.0}, {"name": "b", "px": 2}]).splitlines()
    assert lines == [
        "| name | ms | px |",
        "| --- | --- | --- |",
        "| a | 1 |  |",
        "| b |  | 2 |",
    ]


def test_markdown_marks_what_was_missed():
    report = Report()
    report.add(name="body", ms=2.0)
    report.aim("speed", 3.0, 2.0, "higher")
    report.aim("slowness", 3.0, 2.0)
    text = report.markdown()
    assert "| body | 2 |" in text
    assert "| speed | 3 | >= 2 | yes |" in text
    assert "| slowness | 3 | <= 2 | **no** |" in text
    assert Report().markdown() == ""


def test_json_holds_everything(tmp_path):
    report = Report(facts={"cpus": 2})
    report.add(name="body", ms=2.0)
    report.aim("slowness", 3.0, 2.0)
    report.write(tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert list(content) == ["command", "facts", "rows", "targets"]
    assert content["facts"] == {"cpus": 2}
    assert content["rows"] == [{"name": "body", "ms": 2.0}]
    (target,) = content["targets"]
    assert target == {
        "name": "slowness",
        "value": 3.0,
        "target": 2.0,
        "better": "lower",
        "held": False,
    }

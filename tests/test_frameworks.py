"""docs/frameworks.md says what a run says, and at least 23 of 25 architectures walk the whole road."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "frameworks.md"
sys.path.insert(0, str(ROOT / "benchmarks"))

from architectures import architectures  # noqa: E402
from frameworks import STEPS, Row, line, page, run  # noqa: E402

#: At least so many rows of each framework, and this share of all that walk the whole road.
AT_LEAST = {"Hugging Face": 12, "timm": 3, "torchvision": 3, "Keras": 4, "scikit-learn": 3, "Paddle": 1}
SHARE = 23 / 25
#: Columns: framework, architecture, task, the four steps, then numbers that differ from machine to machine.
SAID = slice(0, 3 + len(STEPS))


def cells(text: str) -> list[list[str]]:
    """The rows of a table in Markdown, without its header."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_lists_every_architecture_with_each_step_said() -> None:
    rows = cells(PAGE.read_text())
    assert [r[:3] for r in rows] == [[a.family, a.name, a.task] for a in architectures()]
    assert len(rows) >= 25
    counted = Counter(r[0] for r in rows)
    assert all(counted[family] >= n for family, n in AT_LEAST.items()), counted
    for r in rows:
        assert len(r) == 11
        steps = r[3:7]
        assert set(steps) <= {"yes", "no", "-"}
        assert steps == ["yes"] * 4 or (steps.count("no") == 1 and r[10]), f"{r[1]}: a no needs its reason"
    good = [r for r in rows if r[3:7] == ["yes"] * 4]
    assert len(good) >= SHARE * len(rows)
    assert f"{len(good)} of {len(rows)} real architectures" in PAGE.read_text()


def test_a_line_says_where_a_road_ends() -> None:
    row = Row("timm", "Net", "sorting", ("export",), reason="ParityError: a|b")
    assert cells("\n".join(["| h |", "| --- |", line(row)])) == [
        ["timm", "Net", "sorting", "yes", "no", "-", "-", "-", "-", "-", "ParityError: a/b"]
    ]
    good = Row("timm", "Net", "sorting", STEPS, 3e-7, (12, 8), (2, 3))
    assert "| yes | yes | yes | yes | 3e-07 | 12 → 8 | 2 of 3 |" in line(good)
    assert "1 of 2 real architectures" in page([row, good])


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("all_cores")
def test_a_run_says_what_the_page_says() -> None:
    found = list(run())
    assert sum(r.good for r in found) >= SHARE * len(found)
    said = [r[SAID] for r in cells(PAGE.read_text())]
    assert [cells(f"| h |\n| --- |\n{line(r)}")[0][SAID] for r in found] == said

from __future__ import annotations

import re

import pytest

from onnx_lab.card import Card, Table

TABLE = Table(
    ("model", "size", "verdict"),
    (("fp32", "90.7 MB", "reference"), ("int8", "", "faster"), ("half", "45.1 MB", "")),
    "three",
    tones={(1, 2): "good"},
    bars={(0, 1): 1.0, (2, 1): 0.5},
)
CARD = Card("a <b> title", [("size", "90 MB"), ("inputs", "x & y")], [TABLE], ["a note"])


def test_text_lines_up() -> None:
    assert TABLE.text().splitlines() == [
        "three",
        "model     size  verdict",
        "-----  -------  ---------",
        "fp32   90.7 MB  reference",
        "int8            faster",
        "half   45.1 MB",
    ]


def test_numbers_stand_right_and_words_left() -> None:
    html = TABLE.html()
    assert re.search(r"<td align='right'[^>]*text-align:right[^>]*>90\.7 MB", html)
    assert re.search(r"<td style='[^']*text-align:left[^']*'>reference", html)


def test_everything_is_escaped() -> None:
    html = CARD.html()
    assert "a &lt;b&gt; title" in html
    assert "x &amp; y" in html


def test_it_reads_where_styles_are_stripped() -> None:
    bare = re.sub(r" (style|class|align|scope)='[^']*'", "", CARD.html())
    assert bare.count("<table>") == 2
    assert "<strong>a &lt;b&gt; title</strong>" in bare
    assert "<tr><th>size</th><td>90 MB</td></tr>" in bare
    assert "<caption>three</caption>" in bare
    assert "<p>a note</p>" in bare


def test_colour_needs_no_trust_and_no_theme() -> None:
    coloured = re.findall(r"(?:color|border|background):([^;']+)", CARD.html())
    assert coloured
    assert not [c for c in coloured if "var(" in c]


def test_tones_and_bars() -> None:
    html = TABLE.html()
    assert re.search(r"color:color-mix\([^;]*#238b57\);font-weight:600'>faster", html)
    assert "50%" in html


def test_long_cells_may_wrap() -> None:
    html = Table(("a", "why"), (("x", "word " * 20),)).html()
    assert "min-width:32ch" in html


@pytest.mark.parametrize("rows", [(), (("a",),)])
def test_small_tables(rows: tuple[tuple[str, ...], ...]) -> None:
    table = Table(("only",), rows)
    assert table.text().startswith("only")
    assert "<thead>" in table.html()

"""Variants beside each other: one picked out, the budget as lines, never too tall, words beside colours."""

from __future__ import annotations

import json

from onnx_lab.jupyter.dashboard.state import Variant
from onnx_lab.plots import _variants


def rows(count: int) -> list[Variant]:
    return [
        Variant(
            str(i), f"v{i}", size_bytes=10**7 * (count - i), p50=0.01 * (count - i), low=0.009 * (count - i),
            high=0.011 * (count - i), accuracy=0.9, qualifies=i != 1, taken=i == count - 1,
        )
        for i in range(count)
    ]  # fmt: skip


def test_the_selected_one_is_picked_out_in_words_too() -> None:
    for draw in (_variants.size_bars, _variants.latency_bars, _variants.front):
        chart = draw(rows(3), "1")
        assert chart.figure.to_json().count("v1") >= 1
        assert "▸ v1" in json.dumps(json.loads(chart.figure.to_json()), ensure_ascii=False)
        assert [r[0] for r in chart.tables[0].rows] == ["v0", "v1", "v2"]


def test_intervals_are_the_limits_that_were_measured() -> None:
    bars = _variants.latency_bars(rows(2), "0").figure.data[0]
    assert [round(x, 3) for x in bars.error_x.array] == [2.0, 1.0]
    assert [round(x, 3) for x in bars.error_x.arrayminus] == [2.0, 1.0]


def test_marks_say_by_form_what_qualifies_and_what_to_take() -> None:
    points = _variants.front(rows(3), "0", max_ms=25, max_mb=15).figure
    assert list(points.data[0].marker.symbol) == ["circle", "x", "star"]
    assert {a.text for a in points.layout.annotations} == {"25 ms", "15 MB"}
    assert len(points.layout.shapes) == 2


def test_many_stay_in_sight() -> None:
    for draw in (_variants.size_bars, _variants.latency_bars, _variants.front):
        assert draw(rows(40), "3").figure.layout.height <= 720
    names = [t for t in _variants.front(rows(40), "3").figure.data[0].text if t]
    assert len(names) == 2  # the one picked out and the one to take


def test_of_many_those_that_matter_have_bars() -> None:
    for draw in (_variants.size_bars, _variants.latency_bars):
        chart = draw(rows(40), "1")
        shown = [r[0] for r in chart.tables[0].rows]
        assert len(shown) == _variants._MOST_BARS
        assert shown[:2] == ["v0", "v1"], "the first, and the one picked out, which does not qualify"
        assert shown[2:] == [f"v{i}" for i in range(28, 40)], "the smallest, in the table's order"
        assert "(14 of 40)" in chart.title


def test_what_is_not_known_yet_is_not_drawn() -> None:
    chart = _variants.latency_bars([Variant("a", "a"), *rows(1)], "")
    assert [r[0] for r in chart.tables[0].rows] == ["v0"]

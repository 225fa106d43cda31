"""The table of variants: the one widget of our own, because ipywidgets has none whose rows a keyboard selects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import traitlets as t
from anywidget import AnyWidget

from onnx_lab.card import megabytes, milliseconds
from onnx_lab.jupyter._stays import STYLE
from onnx_lab.jupyter.dashboard.facts import shape_words
from onnx_lab.jupyter.dashboard.judge import answers, comparable, lost
from onnx_lab.jupyter.dashboard.parts import script
from onnx_lab.jupyter.dashboard.state import State, Variant

_HERE = Path(__file__).parent
_EMPTY = "No variants yet: pick a model, tick steps, and press Run."


class VariantTable(AnyWidget):
    """Rows in, the selected row's id out.

    Attributes
    ----------
    columns : list of dict
        ``title``, and ``kind``: "num", "text", "more" (left out where it is narrow), "extra" (left out first), "wrap"
        (its title may take two lines).
    rows : list of dict
        ``id``, ``cells`` (texts), ``depth``, ``state``, ``tone``, ``taken``, ``bar`` (three shares of the width).
    selected : str
    """

    _esm = script("table")
    _css = STYLE % "ol-board" + (_HERE / "look.css").read_text(encoding="utf-8")
    columns = t.List().tag(sync=True)
    rows = t.List().tag(sync=True)
    selected = t.Unicode("").tag(sync=True)
    empty = t.Unicode(_EMPTY).tag(sync=True)


def columns(state: State) -> list[dict[str, Any]]:
    """The header; it says what the answers were judged by."""
    asked, shape = answers(state.variants), _other_shape(state)
    task = any(v.accuracy is not None for v in state.variants)
    return [
        {"title": "variant"},
        {"title": "size, MB", "kind": "num"},
        {"title": f"latency, ms [99 %]{shape}", "kind": "num wrap" if shape else "num", "bar": True},
        {"title": "speed", "kind": "num more"},
        {"title": "accuracy" if task else f"cosine, {asked}" if asked else "answers", "kind": "num wrap"},
        {"title": "nodes", "kind": "num extra"},
        {"title": "ran by", "kind": "text extra"},
        {"title": "verdict", "kind": "text", "verdict": True},
    ]


def measured_at(state: State) -> str:
    """The shapes that the timings are of; empty where nothing is timed."""
    return "; ".join(dict.fromkeys(v.at for v in state.variants if v.p50 and v.at))


def _other_shape(state: State) -> str:
    """Said where the timings are not of the shape that the form asks for now."""
    m, at = state.measuring, measured_at(state)
    return "" if at in ("", shape_words(m.batch, None), shape_words(m.batch, m.seq)) else f" at {at}"


def rows(state: State) -> list[dict[str, Any]]:
    """One dict for each variant, as the widget draws it."""
    widest = max((v.high or v.p50 or 0.0 for v in state.variants), default=0.0)
    return [
        {
            "id": v.id,
            "cells": cells(v, state),
            "depth": min(4, len(state.lineage(v)) - 1),
            "state": v.state,
            "tone": tone(v),
            "taken": v.taken,
            "bar": [round((x or 0.0) / widest, 3) for x in (v.low, v.p50, v.high)] if v.p50 and widest else None,
        }
        for v in state.variants
    ]


def cells(v: Variant, state: State) -> list[str]:
    """What each column says of a variant."""
    ms = f"{_ms(v.p50)} [{_ms(v.low)}, {_ms(v.high)}]" if v.p50 and v.low and v.high else ""
    return [
        v.name,
        megabytes(v.size_bytes).removesuffix(" MB") if v.size_bytes else "",
        ms,
        speed(v, state),
        worth(v, state),
        str(v.nodes) if v.nodes is not None else "",
        v.provider.partition(",")[0] if v.provider else v.target,
        verdict(v),
    ]


def speed(v: Variant, state: State) -> str:
    """``×2.10 [2.02, 2.19]``, or what it stands for."""
    if v.ratio is None:
        return ""
    if state.baseline is not None and v.id == state.baseline.id:
        return "reference"
    return f"×{v.ratio:.2f} [{v.ratio_low:.2f}, {v.ratio_high:.2f}]"


def worth(v: Variant, state: State) -> str:
    """Accuracy with the points to the baseline, or the cosine; nothing for what was judged by something else."""
    if state.baseline is not None and not comparable(v, state.baseline):
        return ""
    if v.accuracy is not None:
        less = lost(v, state.baseline) if state.baseline else None
        return f"{v.accuracy:.1%}" + (
            f" ({round(-less, 1) + 0.0:+.1f})" if less is not None and v.parent is not None else ""
        )
    return f"{v.cosine:.4f}" if v.cosine is not None else ""


def verdict(v: Variant) -> str:
    """What is said of it in the last column."""
    if v.state == "failed":
        return f"failed: {v.error}"
    if v.state in ("planned", "making"):
        return v.state
    said = [w for w in (v.verdict, "not timed beside the others" if v.untimed else "") if w]
    return "; ".join([*said, *([v.speed] if v.speed and v.speed != "reference" else [])]) or v.state


def tone(v: Variant) -> str:
    """``good`` for what qualifies, ``bad`` for what does not; the words say it too."""
    if v.state == "failed":
        return "bad"
    return "dim" if not v.asked else "good" if v.qualifies else "bad"


def _ms(seconds: float | None) -> str:
    return milliseconds(seconds or 0.0).removesuffix(" ms")

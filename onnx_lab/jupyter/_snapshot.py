"""What stays of a job in the notebook: how it ended, its result's card, its picture. Reads without a kernel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from onnx_lab.background.job import Job
from onnx_lab.card import DIM, TONES, megabytes, panel
from onnx_lab.errors import OnnxLabError
from onnx_lab.jupyter._panel import span

#: A saved notebook stays under 200 kB: a card or a picture that is larger is left to ``job.result``.
MOST_CARD, MOST_PICTURE = 60_000, 80_000
_WORDS = {"done": "done in", "failed": "failed after", "cancelled": "cancelled after"}
#: Results that a figure says more about than their card. A Model's card says all.
_PICTURED = frozenset("Benchmark Verdict Profile Why Trace Ranking Accuracy Comparison".split())
#: The steps that give them.
PICTURED_VERBS = frozenset("bench verdict profile why trace best accuracy compare".split())


def card(job: Job, title: str) -> tuple[str, str]:
    """The end of `job` as HTML and as text."""
    line = f"{title}: {_WORDS[job.state]} {span(job.seconds)}"
    peak = f"peak memory {megabytes(job.peak_bytes)}" if job.peak_bytes else ""
    facts = " · ".join(filter(None, [f"job {job.number}", peak, job.note]))
    tone = {"failed": "bad", "cancelled": "warn"}.get(job.state, "good")
    head = f"<div><strong>{escape(line)}</strong> <span style='color:{DIM}'>{escape(facts)}</span></div>"
    if job.error is not None:
        words = _error_words(job.error)
        html = f"<div style='color:{TONES[tone]};white-space:pre-wrap;max-width:90ch'>{escape(words)}</div>"
        return panel(head + html), f"{line} ({facts})\n{words}"
    inner, text = _result(job.result)
    return f"<div style='font-size:13px;margin:2px 0 6px'>{head}</div>{inner}", f"{line} ({facts})\n{text}"


def picture(job: Job) -> dict[str, Any] | None:
    """The result's figure as a bundle, where it has one that is not too large."""
    if job.state != "done" or type(job.result).__name__ not in _PICTURED:
        return None
    try:
        from onnx_lab.plots import chart

        drawn = chart(job.result)
        bundle = {k: v for k, v in drawn._repr_mimebundle_().items() if k != "text/html"}
    except OnnxLabError:  # without Plotly, or with nothing to draw
        return None
    bundle["text/plain"] = f"[chart: {drawn.title}]"
    return bundle if len(json.dumps(bundle)) <= MOST_PICTURE else None


def _result(value: Any) -> tuple[str, str]:
    text = repr(value)
    if len(text) > MOST_CARD // 3:
        text = f"{text[: MOST_CARD // 3]} ..."
    html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    if not html:
        html = f"<pre>{escape(text)}</pre>"
    elif len(html) > MOST_CARD:
        html = panel(
            f"<div>{escape(text.splitlines()[0])}</div><div style='color:{DIM}'>job.result shows all of it</div>"
        )
    return html, text


def _error_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def empty() -> Mapping[str, str]:
    """A place that holds nothing, and can later."""
    return {"text/html": "", "text/plain": ""}

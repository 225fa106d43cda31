"""Which rows meet the budget, and which one to take: the core's rules on what is known, nothing measured anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from onnx_lab.jupyter.dashboard.state import Budget, State, Variant

_UNJUDGED = "its answers could not be judged"


def judged(state: State) -> State:
    """The state with `verdict`, `qualifies` and `taken` of each row as the budget has them."""
    known = [v for v in state.variants if v.state in ("done", "measuring") and v.size_bytes]
    base = state.baseline
    if base is None:
        return state
    from onnx_lab.measure._judging import judged_again

    rows, best = judged_again([_row(v, base) for v in known], _limits(state.budget), feeds=state.compared_on)
    said: dict[str, dict[str, Any]] = {
        v.id: {"verdict": _UNJUDGED if v.unjudged else r.why, "qualifies": r.qualifies, "taken": r is best}
        for v, r in zip(known, rows, strict=True)
    }
    nothing = {"verdict": "", "qualifies": False, "taken": False}
    return replace(state, variants=tuple(replace(v, **said.get(v.id, nothing)) for v in state.variants))


def comparable(v: Variant, base: Variant) -> bool:
    """Whether the answers of both were judged, and by the same."""
    return bool(v.asked) and v.asked == base.asked


def lost(v: Variant, base: Variant) -> float | None:
    """Points of accuracy below the baseline, where both were asked the same."""
    if v.accuracy is None or base.accuracy is None or not comparable(v, base):
        return None
    return (base.accuracy - v.accuracy) * 100


def words(budget: Budget, *, task: bool) -> str:
    """``at most 1 point of accuracy lost, at most 20 ms``."""
    from onnx_lab.measure._judging import Limits

    limits: Limits = _limits(budget)
    return limits.words(True if task else None)  # type: ignore[arg-type]  # only whether there is one is asked


def _limits(budget: Budget) -> Any:
    from onnx_lab.measure._judging import Limits

    return Limits(budget.points, budget.cosine, budget.ms, budget.mb)


def _row(v: Variant, base: Variant) -> Any:
    from onnx_lab.measure._judging import VerdictRow

    size, same = v.size_bytes or 0, comparable(v, base)
    return VerdictRow(
        name=v.name,
        target=v.target,
        size_bytes=size,
        size_ratio=size / (base.size_bytes or size),
        p50=v.p50,
        ratio=v.ratio,
        ratio_low=v.ratio_low,
        ratio_high=v.ratio_high,
        accuracy=v.accuracy if same else None,
        lost=lost(v, base),
        changed=v.changed if same else None,
        cosine=v.cosine if same else None,
        qualifies=False,
        why="",
    )


def answers(rows: Sequence[Variant]) -> str:
    """What the answers of these rows were judged by."""
    asked = dict.fromkeys(v.asked for v in rows if v.asked)
    return ", ".join(asked)

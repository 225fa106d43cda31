"""From what the core returns to what a row holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput
from onnx_lab.jupyter.dashboard import changes
from onnx_lab.jupyter.dashboard.state import State, Step, Variant
from onnx_lab.model import Model
from onnx_lab.runtime.target import Target

if TYPE_CHECKING:
    from onnx_lab.measure.compare import Comparison
    from onnx_lab.recipes.best import Ranking

_TIMES = ("p50", "low", "high", "ratio", "ratio_low", "ratio_high")
_NOT_TIMED: dict[str, Any] = {**dict.fromkeys(_TIMES), "speed": "", "provider": "", "at": ""}


def of_model(m: Model) -> dict[str, Any]:
    """File, size, nodes, and what the last step had to say."""
    said = m.lineage[-1].notes.get("say", ()) if m.lineage else ()
    notes = tuple(said) if isinstance(said, list | tuple) else (str(said),)
    return {"path": str(m.path), "size_bytes": m.size_bytes, "nodes": m.header.nodes, "notes": notes}


def of_comparison(c: Comparison) -> dict[str, Any]:
    """The lowest mean cosine of all outputs, and the largest share of top answers that changed."""
    return {
        "cosine": min(o.cosine_mean for o in c.outputs),
        "changed": max((o.changed for o in c.outputs if o.changed is not None), default=None),
    }


def random_for(base: Model, model: Model) -> Any:
    """Random feeds that both take: those of `base`, or, where `model` has fixed an axis, its own."""
    from onnx_lab.feeds import check_feeds
    from onnx_lab.measure._judging import random_batches

    feeds = random_batches(base)
    try:
        check_feeds(model.inputs, next(iter(feeds)))
    except BadInput:
        return random_batches(model)
    return feeds


def runs_here(target: str) -> str:
    """Why this target does not run here; empty where it does. For all but the CPU the doctor is asked: seconds."""
    wanted = Target.of(target).provider_name
    if wanted == Target.of("cpu").provider_name:
        return ""
    from onnx_lab.runtime.doctor import doctor

    proof = next((p for p in doctor().providers if p.provider == wanted), None)
    return "" if proof is None or proof.runs else f"{target} does not run here: {proof.why}"


def misfit(base: Model, model: Model, batch: int, seq: int) -> str:
    """Why the two cannot be timed beside each other at this shape; empty where they can."""
    from onnx_lab.measure._entrants import contestants, shapes_and_feeds

    try:
        shapes_and_feeds(contestants({"base": base, model.name: model}, ("cpu",)), (batch,), (seq,), None, 0)
    except BadInput as e:
        return " ".join(filter(None, [e.came.replace("base runs", "the first row runs"), e.do]))
    return ""


def timed(state: State, rows: Sequence[Mapping[str, Any]], *, clear: bool = False) -> State:
    """The state with the rows of a benchmark. `clear`: a row that took no part loses what another benchmark said."""
    found = {(r["name"], r["target"]): r for r in rows}
    variants = []
    for v in state.variants:
        r = found.get((v.name, v.target))
        if r is not None:
            variants.append(replace(v, **_timing(r)))
        else:
            variants.append(replace(v, **_NOT_TIMED) if clear else v)
    return replace(state, variants=tuple(variants))


def _timing(r: Mapping[str, Any]) -> dict[str, Any]:
    at = shape_words(r["batch"], r["seq"])
    return {**{k: float(r[k]) for k in _TIMES}, "speed": str(r["verdict"]), "provider": str(r["provider"]), "at": at}


def shape_words(batch: int, seq: int | None) -> str:
    """``batch 1, sequence 128``; without a sequence axis the batch alone."""
    return f"batch {batch}" + ("" if seq is None else f", sequence {seq}")


def from_ranking(state: State, ranking: Ranking, feeds: str, asked: str) -> State:
    """What a search tried, as rows beside those that are there; all timings are those of the search."""
    base = state.baseline
    assert base is not None
    state = timed(state, [], clear=True)
    times = {(r.name, r.target): r for r in ranking.speed.rows}
    judged = {(r.name, r.target): r for r in ranking.verdict.rows}
    for name, (model, target) in ranking.models.items():
        told, time = judged.get((name, str(target))), times.get((name, str(target)))
        known = _same_file(state, model, str(target)) or _row_for(state, base, model, str(target), feeds)
        worth: dict[str, Any] = (
            {"accuracy": told.accuracy, "cosine": told.cosine, "changed": told.changed} if told else {}
        )
        new = replace(known, target=str(target), state="done", error="", asked=asked, **of_model(model), **worth)
        if time is not None:
            new = replace(new, **_timing(vars(time)))
        left = tuple(v for v in state.variants if v.id != known.id)
        index = next((i for i, v in enumerate(state.variants) if v.id == known.id), len(left))
        state = replace(state, variants=(*left[:index], new, *left[index:]))
    return state


def _same_file(state: State, model: Model, target: str) -> Variant | None:
    """The row that holds this very file already, however its steps were worded."""
    from onnx_lab._load import load

    alike = (v for v in state.variants if v.target == target and v.size_bytes == model.size_bytes)
    return next((v for v in alike if Path(v.path).is_file() and load(v.path).digest == model.digest), None)


def _row_for(state: State, base: Variant, model: Model, target: str, feeds: str) -> Variant:
    """The row of these steps, a new one where there is none."""
    steps = words_of(model, base, feeds, target)
    if not steps:  # as it came, on another target
        key = changes.variant_id(state.source, (), target)
        return state.variant(key) or Variant(key, _free(f"{base.name} on {target}", state), base.id)
    key, parent = changes.variant_id(state.source, steps, target), _parent(state, base, steps, target)
    return state.variant(key) or Variant(
        key, changes.name_of(state.variant(parent) or base, steps, target, state.variants), parent, steps
    )


def words_of(model: Model, base: Variant, feeds: str = "", target: str = "cpu") -> tuple[Step, ...]:
    """The steps that made `model` from the first row, as the words of their magic lines.

    What the function or the row's own target says by itself is left out, so that a search and a click are one row.
    """
    from onnx_lab.jupyter.dashboard.lines import signature_of
    from onnx_lab.recipes.recipe import Recipe

    made = Recipe.of(model).steps
    steps = []
    for verb, options in made[_before(base) :]:
        step = Step(verb)
        for p in signature_of(verb).parameters:
            value = options.get(p.name)
            if p.name == "target" and value == target:
                continue
            if p.name == "data" and value:
                step = step.with_option(p.name, feeds) if feeds else step
            elif value is not None and value != p.default and not (value == [] and not p.default):
                step = step.with_option(p.name, _text(value))
        steps.append(step)
    return tuple(steps)


def _parent(state: State, base: Variant, steps: tuple[Step, ...], target: str) -> str:
    """The row that has all steps but the last, else the first row."""
    above = changes.variant_id(state.source, steps[:-1], target)
    return above if len(steps) > 1 and state.variant(above) else base.id


def _before(base: Variant) -> int:
    """Transforms that the first row's own lineage holds already."""
    from onnx_lab._load import load
    from onnx_lab.recipes.recipe import Recipe

    return len(Recipe.of(load(base.path)).steps) if base.path else 0


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _free(name: str, state: State) -> str:
    taken = {v.name for v in state.variants}
    return next(n for n in (name, *(f"{name} ({i})" for i in range(2, len(taken) + 3))) if n not in taken)

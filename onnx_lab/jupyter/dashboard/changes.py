"""What a person can do to a dashboard, each as a function from one state to the next."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from itertools import count
from typing import Any

from onnx_lab.jupyter.dashboard.state import Draft, State, Step, Variant

#: In the order in which they are done as a rule; a transform that is not named here comes after them.
_ORDER = "simplify optimize quantize mixed_precision fp16 bf16 fix_shapes".split()
_TICKED = ("optimize", "quantize")
#: How a step is called in the name of what it makes.
_SHORT = {"optimize": "optimized", "simplify": "simplified", "mixed_precision": "mixed", "fix_shapes": "fixed"}


def fresh(id: str, verbs: Iterable[str]) -> State:  # noqa: A002  (the field's name)
    """A state with nothing chosen but the usual steps.

    Examples
    --------
    >>> [s.verb for s in fresh("a", ["quantize", "brand_new", "optimize"]).steps]
    ['optimize', 'quantize']
    """
    ranked = sorted(verbs, key=lambda v: _ORDER.index(v) if v in _ORDER else len(_ORDER))
    return State(id, drafts=tuple(Draft(Step(v), v in _TICKED) for v in ranked))


def pick_source(state: State, source: str, *, task: str = "", is_model: bool = False) -> State:
    """Another model: what was found out about the last one goes."""
    if source == state.source:  # what is called so may have become a Model, or be none any more
        return state if is_model == state.is_model else replace(state, is_model=is_model)
    state = pick_judge(state, task=task, data="" if task else state.data)
    return replace(state, source=source, is_model=is_model, variants=(), selected="")


def pick_judge(state: State, *, task: str = "", data: str = "") -> State:
    """What the answers are judged by: a task, or feeds on which outputs are compared, or neither for random ones."""
    return replace(state, task=task, data=data)


def tick(state: State, index: int, on: bool) -> State:
    """Take a step in, or leave it out."""
    return _with_draft(state, index, replace(state.drafts[index], on=on))


def add_edit(state: State, edit: str) -> State:
    """Take an edit of `onnx_lab.surgery` in, before all other steps: what they do depends on the graph.

    Each is there once; one that is there already is ticked.

    Examples
    --------
    >>> [s.verb for s in add_edit(fresh("a", ["optimize"]), "set_batch").steps]
    ['surgery.set_batch', 'optimize']
    """
    verb = f"surgery.{edit}"
    there = next((i for i, d in enumerate(state.drafts) if d.step.verb == verb), None)
    if there is not None:
        return tick(state, there, True)
    at = next((i for i, d in enumerate(state.drafts) if not d.step.verb.startswith("surgery.")), len(state.drafts))
    return replace(state, drafts=(*state.drafts[:at], Draft(Step(verb), True), *state.drafts[at:]))


def set_option(state: State, index: int, name: str, text: str | None) -> State:
    """Change an option of a step; None is the function's own default."""
    draft = state.drafts[index]
    return _with_draft(state, index, replace(draft, step=draft.step.with_option(name, text)))


def move(state: State, index: int, by: int) -> State:
    """Move a step up (-1) or down (1).

    Examples
    --------
    >>> [d.step.verb for d in move(fresh("a", ["optimize", "quantize"]), 1, -1).drafts]
    ['quantize', 'optimize']
    """
    to = index + by
    if not 0 <= to < len(state.drafts):
        return state
    drafts = list(state.drafts)
    drafts.insert(to, drafts.pop(index))
    return replace(state, drafts=tuple(drafts))


def planned(state: State) -> State:
    """The rows that the ticked steps make: one for each step, each from the one before; those that are there stay."""
    state = with_baseline(state)
    parent = state.baseline
    assert parent is not None
    variants, steps = list(state.variants), parent.steps
    for step in state.steps:
        steps = (*steps, step)
        key = variant_id(state.source, steps, state.target)
        known = next((v for v in variants if v.id == key), None)
        if known is None:
            name = name_of(parent, steps, state.target, variants)
            known = Variant(key, name, parent.id, steps, state.target)
            variants.append(known)
        elif known.state == "failed":
            variants[variants.index(known)] = known = replace(known, state="planned", error="")
        parent = known
    return replace(state, variants=tuple(variants), selected=state.selected or parent.id)


def fork(state: State, id: str) -> State:  # noqa: A002  (the field's name)
    """The steps of a variant become those of the form: ticked, in its order and with its options; the others follow."""
    v = state.variant(id)
    if v is None:
        return state
    left = list(state.drafts)
    drafts = []
    for step in v.steps:
        own = next((d for d in left if d.step.verb == step.verb), None)
        if own is not None:
            left.remove(own)
        drafts.append(Draft(step, True))
    drafts += [replace(d, on=False) for d in left]
    return replace(state, drafts=tuple(drafts), selected=id, target=v.target)


def drop(state: State, id: str) -> State:  # noqa: A002  (the field's name)
    """Take a row and what comes from it off the table; the files stay in the workspace."""
    v = state.variant(id)
    if v is None or v.parent is None:
        return state
    gone = {w.id for w in state.variants if v in state.lineage(w)}
    left = tuple(w for w in state.variants if w.id not in gone)
    return replace(state, variants=left, selected=v.parent if state.selected in gone else state.selected)


def learn(state: State, id: str, /, **facts: Any) -> State:  # noqa: A002  (the field's name)
    """Put what was found out about a variant into its row."""
    return replace(state, variants=tuple(replace(v, **facts) if v.id == id else v for v in state.variants))


def variant_id(source: str, steps: tuple[Step, ...], target: str) -> str:
    """The same steps from the same source on the same target are the same variant."""
    text = json.dumps([source, [asdict(s) for s in steps], target])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def with_baseline(state: State) -> State:
    """The row of the model as it came, where it is not there yet; one that failed is tried again, where we are now."""
    key = variant_id(state.source, (), state.target)
    if (base := state.baseline) is not None:
        return _tried_again(state, base, key) if base.state == "failed" else state
    name = state.source.removesuffix("()").rpartition(".")[2] if state.source.startswith("lab.") else state.source
    first = Variant(key, name.rpartition("/")[2].removesuffix(".onnx") or "model", target=state.target)
    return replace(state, variants=(first,), selected=key)


def _tried_again(state: State, base: Variant, key: str) -> State:
    other = state.variant(key)
    new = replace(base, id=base.id if other else key, target=base.target if other else state.target)
    new = replace(new, state="planned", error="")
    rows = (new if v is base else replace(v, parent=new.id) if v.parent == base.id else v for v in state.variants)
    return replace(state, variants=tuple(rows), selected=new.id if state.selected == base.id else state.selected)


def begin_anew(state: State) -> State:
    """The rows as they were planned, when what they all come from is another file than before."""
    return planned(replace(state, variants=(), selected=""))


def _with_draft(state: State, index: int, draft: Draft) -> State:
    return replace(state, drafts=tuple(draft if i == index else d for i, d in enumerate(state.drafts)))


def _word(step: Step) -> str:
    if step.verb == "quantize":
        method = dict(step.options).get("method", "dynamic")
        return {"dynamic": "int8", "static": "int8-static", "nncf": "int8-nncf"}.get(method, method)
    return _SHORT.get(step.verb, step.verb.removeprefix("surgery.").replace("_", "-"))


def name_of(parent: Variant, steps: tuple[Step, ...], target: str, others: Iterable[Variant]) -> str:
    """``bert-optimized-int8``; a number keeps two of the same name apart.

    Examples
    --------
    >>> bert = Variant("a", "bert")
    >>> name_of(bert, (Step("optimize"), Step("quantize", (("method", "int4"),))), "cpu", [bert])
    'bert-optimized-int4'
    """
    new = steps[len(parent.steps) :] if steps[: len(parent.steps)] == parent.steps else steps
    stem = re.sub(r" \(\d+\)$| on \w+", "", parent.name)
    wanted = "-".join([stem, *map(_word, new)]) + (f" on {target}" if target != "cpu" else "")
    taken = {v.name for v in others}
    return next(n for n in (f"{wanted} ({i})" if i > 1 else wanted for i in count(1)) if n not in taken)

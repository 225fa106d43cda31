"""The magic line that a control stands for, and the arguments of its core function: one text, shown and run."""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.jupyter._convert import accepted, is_expression, value_of
from onnx_lab.jupyter._names import Names
from onnx_lab.jupyter._signature import Signature, read
from onnx_lab.jupyter._words import Word
from onnx_lab.jupyter.dashboard.numbers import plain
from onnx_lab.jupyter.dashboard.sources import export_line
from onnx_lab.jupyter.dashboard.state import State, Step
from onnx_lab.jupyter.magics import function, magic_of

FLAGS = {"true": True, "false": False}


@functools.cache
def signature_of(verb: str) -> Signature:
    """What a step takes; the first time imports its module."""
    return read(function(verb))


def line(step: Step, of: str = "m") -> str:
    """The magic's line.

    Examples
    --------
    >>> line(Step("quantize", (("method", "static"), ("per_channel", "false"))), "bert")
    '%onnx_quantize bert --method static --no-per-channel'
    >>> line(Step("surgery.set_batch", (("size", "4"),)), "bert")
    '%onnx_edit bert set_batch --size 4'
    """
    magic, *edit = magic_of(step.verb).split()
    return " ".join([magic, of, *edit, *_words(step)])


def chain(steps: tuple[Step, ...], of: str = "m") -> str:
    """Several lines, each on what the one before made.

    Examples
    --------
    >>> print(chain((Step("optimize"), Step("fp16")), "net"))
    m = %onnx_optimize net
    m = %onnx_fp16 m
    """
    own = made(of)
    return "\n".join(f"{own} = {line(s, of if i == 0 else own)}" for i, s in enumerate(steps))


def made(of: str) -> str:
    """What the lines call what they make: never as that which they make it of, which stays what it was."""
    return "m2" if of == "m" else "m"


def arguments(step: Step, names: Names) -> dict[str, Any]:
    """What the core function is called with, without the Model.

    Raises
    ------
    BadInput
        As the magic would: for a word that is no choice, no number, or no name of the notebook.
    """
    signature, found = signature_of(step.verb), {}
    for name, text in step.options:
        p = signature.get(name)
        if p is None:
            known = [q.name for q in signature.parameters]
            raise BadInput(f"{step.verb}: option {name!r}", accepted=", ".join(known), do=did_you_mean(name, known))
        flag = p.takes.flag and text in FLAGS
        found[p.name] = FLAGS[text] if flag else value_of(p, [Word(text, False, 0)], names)
    for p in signature.positional[1:]:
        if p.required and p.name not in found:
            raise BadInput(f"{step.verb} needs {p.name}", accepted=accepted(p), do="choose it in the step's options")
    return found


def walk(state: State, steps: tuple[Step, ...]) -> str:
    """All lines from the source to what the steps make."""
    if state.is_model:
        return chain(steps, first(state))
    return "\n".join(filter(None, [source_line(state), *(f"m = {line(s)}" for s in steps)]))


def source_line(state: State) -> str:
    """The lines that make the first Model; empty where the source is one."""
    if state.is_model:
        return ""
    return export_line(state.source) if state.source not in state.given else "m = %onnx_export {board.source}"


def shown(state: State, name: str, role: str) -> str:
    """The words for a thing in a line: its name in the notebook, or the dashboard's, where it has none."""
    return f"{{board.{role}}}" if name in state.given else name


def first(state: State) -> str:
    """What the first step works on, by name."""
    return shown(state, state.source, "source") if state.is_model else "m"


def later(state: State) -> str:
    """What the second step works on, by name: an export's result may be called as the first one's, a source may not."""
    return made(first(state)) if state.is_model else "m"


def bench_line(state: State) -> str:
    """``%onnx_bench`` of all rows as they are measured, for who wrote ``board = %onnx_lab``."""
    m = state.measuring
    return f"speed = %onnx_bench {{board.contestants}} --batch {m.batch} --seq {m.seq} --budget-s {plain(m.seconds)}"


def judge_line(state: State) -> str:
    """What the answers are asked with; empty for random feeds, which no line of a notebook has.

    Examples
    --------
    >>> judge_line(State("a", task="net.task")), judge_line(State("a", source="net", is_model=True, data="texts"))
    ('%onnx_accuracy m net.task', '%onnx_compare net m texts')
    """
    of, judge = first(state), judged_by(state)
    if state.task:
        return f"%onnx_accuracy {later(state)} {judge}"
    return f"%onnx_compare {of} {made(of)} {judge}" if judge else ""


def judged_by(state: State) -> str:
    """The task or the feeds, in words; empty for random ones."""
    role, name = ("task", state.task) if state.task else ("data", state.data)
    return shown(state, name, role)


def verdict_line(state: State) -> str:
    """``%onnx_verdict`` with the budget."""
    b = state.budget
    judge, role = judged_by(state), "task" if state.task else "data"
    limits = [f"--{role} {judge}"] if judge else []
    limits += [f"--max-points-lost {plain(b.points)}" if state.task else f"--min-cosine {plain(b.cosine)}"]
    limits += [f"--max-ms {plain(b.ms)}"] if b.ms is not None else []
    limits += [f"--max-mb {plain(b.mb)}"] if b.mb is not None else []
    return " ".join(["%onnx_verdict {board.contestants} --speed speed", *limits])


def best_line(state: State, of: str = "m") -> str:
    """``%onnx_best`` as the button would run it."""
    m, judge = state.measuring, judged_by(state)
    return " ".join(filter(None, ["%onnx_best", of, judge, f"--batch {m.batch} --seq {m.seq}"]))


def takes_target(verb: str) -> bool:
    """Whether a step is made for a target."""
    return "target" in inspect.signature(function(verb)).parameters


def _words(step: Step) -> list[str]:
    words = []
    for name, text in step.options:
        option = name.replace("_", "-")
        if text in FLAGS:
            words.append(f"--{option}" if FLAGS[text] else f"--no-{option}")
        else:
            words.append(f"--{option} {_quoted(text)}")
    return words


def _quoted(text: str) -> str:
    """As a magic reads it back: an expression as it is, quotes around what would else fall apart."""
    if is_expression(text) or (text and not re.search(r"[\s\"'#;]|^-", text)):
        return text
    return '"' + text.replace('"', '\\"') + '"'

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
from onnx_lab.jupyter.dashboard.sources import SAMPLES, export_line, sample_name
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


def chain(steps: tuple[Step, ...], of: str, own: str = "m") -> str:
    """Several lines, each on what the one before made, which is called `own`.

    Examples
    --------
    >>> print(chain((Step("optimize"), Step("fp16")), "net"))
    m = %onnx_optimize net
    m = %onnx_fp16 m
    """
    return "\n".join(f"{own} = {line(s, of if i == 0 else own)}" for i, s in enumerate(steps))


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
    return "\n".join(filter(None, [source_line(state), chain(steps, first(state), own(state))]))


def source_line(state: State) -> str:
    """The lines that make the first Model; empty where the source is one."""
    if state.is_model:
        return ""
    if state.source in state.given:
        return f"{own(state)} = %onnx_export {{board.source}}"
    return export_line(state.source, own(state))


def own(state: State) -> str:
    """What the lines call what they make: never as something of the notebook that they are made of or judged by."""
    roots = {re.split(r"\W", name, maxsplit=1)[0] for name in (state.source, state.task, state.data)}
    return "m2" if "m" in roots else "m"


def shown(state: State, name: str, role: str) -> str:
    """The words for a thing in a line: its name in the notebook, or the dashboard's, where it has none."""
    return f"{{board.{role}}}" if name in state.given else name


def first(state: State) -> str:
    """What the first step works on, by name."""
    return shown(state, state.source, "source") if state.is_model else own(state)


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
    judge = judged_by(state)
    if state.task:
        return f"%onnx_accuracy {own(state)} {judge}"
    right = first(state) if state.is_model else _network(state)
    return f"%onnx_compare {right} {own(state)} {judge}" if judge and right else ""


def _network(state: State) -> str:
    """What is exported, where the notebook has it; empty for paths and names on a hub."""
    if sample := sample_name(state.source):
        return f"{sample}.{SAMPLES[sample].field}"
    words = shown(state, state.source, "source")
    return words if words != state.source or state.source.replace(".", "").isidentifier() else ""


def judged_by(state: State) -> str:
    """The task or the feeds, in words; empty for random ones."""
    role, name = ("task", state.task) if state.task else ("data", state.data)
    return shown(state, name, role)


def verdict_line(state: State) -> str:
    """``%onnx_verdict`` with the budget."""
    judge, role = judged_by(state), "task" if state.task else "data"
    words = [f"--{role} {judge}"] if judge else []
    return " ".join(["%onnx_verdict {board.contestants} --speed speed", *words, *_limits(state)])


def best_line(state: State, feeds: str = "") -> str:
    """``%onnx_best`` as the button would run it; `feeds` are what it calibrates on."""
    m, words = state.measuring, ["%onnx_best", first(state), judged_by(state)]
    words += [f"--calibration {feeds}"] if feeds else []
    words += [f"--batch {m.batch} --seq {m.seq}", *_limits(state), f"--budget-s {plain(m.search_seconds)} --no-explain"]
    return " ".join(filter(None, words))


def _limits(state: State) -> list[str]:
    b = state.budget
    limits = [f"--max-points-lost {plain(b.points)}" if state.task else f"--min-cosine {plain(b.cosine)}"]
    limits += [f"--max-ms {plain(b.ms)}"] if b.ms is not None else []
    return limits + ([f"--max-mb {plain(b.mb)}"] if b.mb is not None else [])


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

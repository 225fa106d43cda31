"""The magic line that a control stands for, and the arguments of its core function: one text, shown and run."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.jupyter._convert import accepted, value_of
from onnx_lab.jupyter._names import Names
from onnx_lab.jupyter._signature import Signature, read
from onnx_lab.jupyter._words import Word
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
    >>> print(chain((Step("optimize"), Step("fp16"))))
    m = %onnx_optimize m
    m = %onnx_fp16 m
    """
    return "\n".join(f"m = {line(s, of if i == 0 else 'm')}" for i, s in enumerate(steps))


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
        return chain(steps, state.source)
    return "\n".join(filter(None, [export_line(state.source), chain(steps)]))


def first(state: State) -> str:
    """What the first step works on, by name."""
    return state.source if state.is_model else "m"


def bench_line(state: State) -> str:
    """``%onnx_bench`` of all rows as they are measured, for who wrote ``board = %onnx_lab``."""
    m = state.measuring
    return f"speed = %onnx_bench {{board.models}} --batch {m.batch} --seq {m.seq} --budget-s {m.seconds:g}"


def judge_line(state: State) -> str:
    """What the answers are asked with; empty for random feeds, which no line of a notebook has.

    Examples
    --------
    >>> judge_line(State("a", task="net.task")), judge_line(State("a", source="m", is_model=True, data="texts"))
    ('%onnx_accuracy m net.task', '%onnx_compare m m2 texts')
    """
    if state.task:
        return f"%onnx_accuracy m {state.task}"
    return f"%onnx_compare {first(state)} m2 {state.data}" if state.data else ""


def verdict_line(state: State) -> str:
    """``%onnx_verdict`` with the budget."""
    b = state.budget
    limits = [f"--data {state.data}"] if state.data else []
    limits += [f"--task {state.task} --max-points-lost {b.points:g}" if state.task else f"--min-cosine {b.cosine:g}"]
    limits += [f"--max-ms {b.ms:g}"] if b.ms is not None else []
    limits += [f"--max-mb {b.mb:g}"] if b.mb is not None else []
    return " ".join(["%onnx_verdict {list(board.models.values())} --speed speed", *limits])


def best_line(state: State, of: str = "m") -> str:
    """``%onnx_best`` as the button would run it."""
    judge = [j] if (j := state.task or state.data) else []
    return " ".join(["%onnx_best", of, *judge, f"--batch {state.measuring.batch} --seq {state.measuring.seq}"])


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
    return f'"{text}"' if not text or " " in text or text.startswith("-") else text

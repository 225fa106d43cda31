"""``%onnx_edit m set_batch 4``: the edits of `onnx_lab.surgery` behind one magic, each with its own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from IPython.core.magic import no_var_expand

from onnx_lab.card import Card, Shown, Table
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.jupyter._completion import complete
from onnx_lab.jupyter._parse import HELP, usage
from onnx_lab.jupyter._words import Word, split
from onnx_lab.surgery import EDITS

NAME = "onnx_edit"


@dataclass(frozen=True, repr=False)
class Edits(Shown):
    """What ``%onnx_edit`` shows alone: every edit with its words."""

    def _card(self) -> Card:
        from onnx_lab.jupyter.magics import magic_of, signature_of

        steps = [(f"surgery.{e}", what) for e, what in EDITS.items()]
        rows = tuple((usage(magic_of(s), signature_of(s)), what) for s, what in steps)
        return Card(
            "%onnx_edit: change one thing in a graph",
            [("a line", f"%{NAME} m <edit> word word --option value"), ("manual", f"%{NAME} m <edit> -h")],
            [Table(("edit and its words", "what it does"), rows)],
        )


def edit_magic(owner: Any) -> Callable[..., Any]:
    """The callable that IPython registers as ``%onnx_edit``; `owner` runs the step."""

    def magic(line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        words = [w for w in split(line).words if w.text not in HELP]
        edit = edit_of(line)
        if not words:
            return Edits()
        if edit is None:
            raise _no_edit(line, words)
        return owner.run(f"surgery.{edit.text}", without(line, edit), local_ns, typed=line)

    known: Any = no_var_expand(magic)  # objects stay objects
    known.__name__ = NAME
    known.__doc__ = f"lab.surgery as a magic; %{NAME} lists its edits."
    known.needs_local_scope = True
    known.getdoc = lambda: repr(Edits())
    return cast("Callable[..., Any]", known)


def edit_of(line: str) -> Word | None:
    """The word that names the edit: the second, or the first where the Model is left out or comes behind it.

    Examples
    --------
    >>> edit_of("m expose h1").text, edit_of("expose -h").text, edit_of("m h1")
    ('expose', 'expose', None)
    """
    loose = _loose(line)[:2]
    return next((w for w in reversed(loose) if w.text in EDITS and not w.quoted), None)


def without(line: str, edit: Word) -> str:
    """The line of an edit as its own function reads it: ``"m expose h1"`` becomes ``"m  h1"``."""
    return line[: edit.start] + line[edit.start + len(edit.text) :]


def complete_edit(line: str, scope: dict[str, Any]) -> tuple[str, list[str]]:
    """What may stand at the end of ``%onnx_edit <line>``, and the fragment that is replaced.

    Examples
    --------
    >>> complete_edit(" m expo", {"m": 1})
    ('expo', ['expose'])
    """
    from onnx_lab.jupyter.magics import signature_of

    cut = split(line)
    typing = line[cut.words[-1].start :] if cut.words and cut.open_word else ""
    edit = edit_of(line)
    if edit is not None and not (typing == edit.text and line.endswith(typing) and cut.words[-1] == edit):
        fragment, found = complete(signature_of(f"surgery.{edit.text}"), without(line, edit), scope)
        return fragment, [*_ends(scope.get(cut.words[0].text), fragment), *found]
    done = len(cut.words) - bool(typing)
    if done == 0:  # the Model
        return complete(signature_of("surgery.expose"), line, scope)
    return typing, [e for e in EDITS if e.startswith(typing)] if done == 1 else []


def _ends(model: Any, fragment: str) -> list[str]:
    """Inputs and outputs of the Model that begin with what is typed; tensors inside would have to be read."""
    if fragment.startswith("-") or not hasattr(model, "lineage"):
        return []
    return [s.name for s in (*model.inputs, *model.outputs) if s.name.startswith(fragment)]


def _loose(line: str) -> list[Word]:
    """The words before the first option."""
    found: list[Word] = []
    for w in split(line).words:
        if w.text.startswith("-") and not w.quoted:
            break
        found.append(w)
    return found


def _no_edit(line: str, words: list[Word]) -> BadInput:
    loose = _loose(line)
    came = loose[1].text if len(loose) > 1 else None
    accepted = f"%{NAME} m <edit> ..., with <edit> one of: {', '.join(EDITS)}"
    if came is None:
        return BadInput(f"%{NAME} {words[0].text}: which edit?", accepted=accepted, do=f"%{NAME} alone explains them")
    near = did_you_mean(came, EDITS)
    return BadInput(f"%{NAME}: {came!r} is no edit", accepted=accepted,
                    do=near if near.startswith("did") else f"%{NAME} alone explains them")  # fmt: skip

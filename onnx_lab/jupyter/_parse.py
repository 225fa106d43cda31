"""From a magic's line to the arguments of its core function."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.jupyter._convert import accepted, is_expression, value_of
from onnx_lab.jupyter._names import Names
from onnx_lab.jupyter._signature import Signature
from onnx_lab.jupyter._words import Word, complete_words, split

#: Options of the magic itself, on every magic.
HELP = ("-h", "--help")
CODE = "--code"


@dataclass
class Call:
    """What a line asks for.

    Attributes
    ----------
    arguments : dict
        For the core function, by parameter name.
    typed : dict of str to list of str
        The words as they were typed, for titles and for ``--code``.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    typed: dict[str, list[str]] = field(default_factory=dict)
    help: bool = False
    code: bool = False
    silent: bool = False


def parse(magic: str, signature: Signature, line: str, names: Names) -> Call:
    """Read `line`. Raises BadInput: what came, what is accepted, what to do next."""
    cut = complete_words(line)
    call = Call(silent=cut.silent)
    words = _expanded(cut.words, names)
    loose: list[Word] = []
    given: dict[str, list[Word | bool]] = {}
    while words:
        word = words.pop(0)
        if word.quoted or not re.match(r"--?[A-Za-z]", word.text):
            loose.append(word)
        elif word.text in HELP:
            call.help = True
        elif word.text == CODE:
            call.code = True
        else:
            name, value = _option(magic, signature, word, words)
            given.setdefault(name, []).append(value)
    if call.help:
        return call
    _place(magic, signature, loose, given)
    for p in signature.parameters:
        if p.name in given:
            call.typed[p.name] = [w.text for w in given[p.name] if isinstance(w, Word)]
            call.arguments[p.name] = value_of(p, given[p.name], names)
    return call


def _expanded(words: Sequence[Word], names: Names) -> list[Word]:
    """Put the text of ``{expr}`` and ``$name`` in place where it is a part of a word, or itself a list of options."""
    out: list[Word] = []
    for w in words:
        if w.quoted and not re.search(r"\{.*\}", w.text):
            out.append(w)
        elif is_expression(re.sub(r"^--[\w-]+=", "", w.text)):
            # --option={expr} is left whole: its value may be any object
            value = None if w.text.startswith("--") else names.evaluate(w.text)
            out += split(value).words if isinstance(value, str) and value.startswith("-") else [w]
        else:
            out.append(Word(_filled(w, names), w.quoted, w.start))
    return out


def _filled(word: Word, names: Names) -> str:
    """The word with its expressions as text. Quoted text may hold braces that mean nothing: those stay."""

    def text(found: re.Match[str]) -> str:
        try:
            return _as_text(found[0], names)
        except BadInput:
            if word.quoted:
                return found[0]
            raise

    return re.sub(r"\{[^{}]+\}|\$[^\W\d]\w*", text, word.text)


def _as_text(expression: str, names: Names) -> str:
    value = names.evaluate(expression)
    if isinstance(value, str | int | float | Path):
        return str(value)
    raise BadInput(
        f"{expression} is a {type(value).__name__} inside a longer word",
        accepted="text or a number there",
        do="give an object as a word of its own: its name, or {expression}",
    )


def _option(magic: str, signature: Signature, word: Word, rest: list[Word]) -> tuple[str, Word | bool]:
    """The parameter that ``--option`` names, and its value; takes the next word when it needs one."""
    name, equals, inline = word.text.partition("=")
    p = signature.get(name)
    negated = signature.get("--" + name[5:]) if name.startswith("--no-") else None
    if p is None and negated is not None and negated.negates:
        return negated.name, False
    if p is None or not name.startswith("--"):
        known = options(signature)
        hint = did_you_mean(name, known)
        near = hint if hint.startswith("did") else f"{magic} -h explains them"
        raise BadInput(f"{magic} has no option {name}", accepted=" ".join(known), do=near)
    if equals:
        return p.name, Word(inline, word.quoted, word.start)
    if p.takes.flag:
        return p.name, True
    if not rest or (not rest[0].quoted and re.match(r"--?[A-Za-z]", rest[0].text)):
        raise BadInput(f"{name} needs a value", accepted=accepted(p), do=f"{magic} -h")
    return p.name, rest.pop(0)


def _place(magic: str, signature: Signature, loose: list[Word], given: dict[str, list[Word | bool]]) -> None:
    """Hand the words that are no options to the positional parameters, in order."""
    left = list(loose)
    open_ = [p for p in signature.positional if p.name not in given]
    for i, p in enumerate(open_):
        if not left:
            break
        # several words for one parameter, as far as those behind it have theirs: set_attribute Relu,PRelu alpha 0.1
        behind = sum(q.required for q in open_[i + 1 :])
        count = max(1, len(left) - behind) if p.takes.many else 1
        given[p.name], left = [*left[:count]], left[count:]
    if left:
        raise BadInput(
            f"{magic}: {left[0].text!r} is one word too many",
            accepted=usage(magic, signature),
            do="put text and paths with spaces in quotes",
        )
    for p in signature.positional:
        if p.required and p.name not in given:
            raise BadInput(f"{magic} needs {p.name}", accepted=usage(magic, signature), do=f"{magic} -h")


def options(signature: Signature) -> list[str]:
    """Every option a magic knows, ``--no-`` forms included."""
    own = []
    for p in signature.parameters:
        if not p.positional:
            own.append(p.option)
            if p.negates:
                own.append("--no-" + p.option[2:])
    return [*own, CODE, "--help"]


def usage(magic: str, signature: Signature) -> str:
    """``%onnx_compare a b data [options]``; of an edit ``%onnx_edit m expose tensor [options]``."""
    words = [f"{p.name}..." if p.takes.many else p.name for p in signature.positional if p.required]
    maybe = [f"[{p.name}]" for p in signature.positional if not p.required]
    magic, _, edit = magic.partition(" ")
    return " ".join([magic, *words[:1], *[edit] * bool(edit), *words[1:], *maybe, "[options]"])

"""TAB after ``%onnx_...``: exactly this magic's options, their values, and the objects that fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from onnx_lab.jupyter._names import fits, inside
from onnx_lab.jupyter._parse import options
from onnx_lab.jupyter._signature import Parameter, Signature
from onnx_lab.jupyter._words import split

_MAGIC = re.compile(r"^\s*(?:[^\W\d][\w.,\s\[\]'\"]*=\s*)?%onnx_(\w+)(\s.*)$", re.DOTALL)


def matcher(magics: Any) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """The matcher to append to ``ip.Completer.custom_matchers``."""

    @context_matcher(priority=1000, identifier="onnx_lab")
    def onnx_lab_matcher(context: CompletionContext) -> SimpleMatcherResult:
        found = _MAGIC.match(_statement(context))
        if found is None:
            return {"completions": [], "suppress": False}
        from onnx_lab.jupyter.magics import VERBS, signature_of

        if found[1] not in (*VERBS, "edit"):
            return {"completions": [], "suppress": False}
        try:
            scope = magics.names().scope
            if found[1] == "edit":
                from onnx_lab.jupyter._edit_magic import complete_edit

                fragment, words = complete_edit(found[2], scope)
            else:
                fragment, words = complete(signature_of(found[1]), found[2], scope)
        except Exception:  # TAB never prints a traceback into a cell; running the line will say what is wrong
            return {"completions": [], "suppress": False}
        texts = list(dict.fromkeys(words))
        found_here = [SimpleCompletion(text=t, type=_kind(t, scope)) for t in texts]
        # a word that nothing completes is offered itself: otherwise Python names would fill the gap
        nothing = [SimpleCompletion(text=fragment, type="nothing fits")] * bool(fragment)
        return {
            "completions": found_here or nothing,
            "matched_fragment": fragment,
            "suppress": True,
            "ordered": True,
        }

    return cast("Callable[[CompletionContext], SimpleMatcherResult]", onnx_lab_matcher)


def is_ours(candidate: Any) -> bool:
    """Whether a matcher in the completer's list came from `matcher`."""
    return getattr(candidate, "matcher_identifier", None) == "onnx_lab"


def complete(signature: Signature, line: str, scope: dict[str, Any]) -> tuple[str, list[str]]:
    """What may stand at the end of `line`, and the fragment of it that is replaced.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> from onnx_lab.jupyter._signature import read
    >>> complete(read(lab.simplify), " m --tool onn", {})
    ('onn', ['onnxslim', 'onnxsim'])
    """
    cut = split(line)
    open_word = bool(cut.words) and (cut.open_word or bool(cut.unfinished))
    word = line[cut.words[-1].start :] if open_word else ""
    before = cut.words[:-1] if open_word else cut.words
    waiting = _waiting(signature, [w.text for w in before])
    if word.startswith("--") and "=" in word:
        option, _, word = word.partition("=")
        waiting = signature.get(option)
    if waiting is not None:
        return _values(waiting, word, scope)
    if word.startswith("-"):
        return word, [o for o in options(signature) if o.startswith(word)]
    target = _next_positional(signature, before)
    fragment, found = _values(target, word, scope) if target else (word, [])
    return fragment, found + [o for o in options(signature) if not word and o.startswith(word)]


def _statement(context: CompletionContext) -> str:
    """The text up to the cursor of a statement that may run over lines ending in a backslash."""
    lines: list[str] = context.full_text.split("\n")[: context.cursor_line + 1]
    lines[-1] = lines[-1][: context.cursor_position]
    text = lines.pop()
    while lines and lines[-1].rstrip().endswith("\\"):
        text = lines.pop().rstrip()[:-1] + " " + text
    return text


def _waiting(signature: Signature, before: list[str]) -> Parameter | None:
    """The option that the word at the cursor is the value of."""
    if not before or not before[-1].startswith("--") or "=" in before[-1]:
        return None
    p = signature.get(before[-1])
    return p if p is not None and not p.takes.flag else None


def _next_positional(signature: Signature, before: Iterable[Any]) -> Parameter | None:
    """The positional parameter whose turn it is."""
    loose, takes_value = 0, False
    for w in before:
        if not w.quoted and w.text.startswith("--"):
            p = signature.get(w.text)
            takes_value = p is not None and not p.takes.flag and "=" not in w.text
        elif takes_value:
            takes_value = False
        else:
            loose += 1
    positional = signature.positional
    if positional and loose >= len(positional):
        return positional[-1] if positional[-1].takes.many else None
    return positional[loose] if positional else None


def _values(p: Parameter, word: str, scope: dict[str, Any]) -> tuple[str, list[str]]:
    """The values of `p` that begin with `word`; after a comma, those of the next value."""
    takes = p.takes
    fragment = word.rpartition(",")[2] if takes.many and word[:1] not in "'\"" else word
    found = [*takes.choices]
    if "Target" in takes.objects:
        from onnx_lab.runtime.target import PROVIDERS

        found += PROVIDERS
    if takes.objects:
        found += _objects(fragment, takes.expected, scope)
    found = [f for f in found if f.startswith(fragment)]
    if "Model" in takes.objects or takes.path:
        found += _paths(fragment)
    return fragment, found


def _objects(fragment: str, classes: tuple[str, ...], scope: dict[str, Any]) -> list[str]:
    """Names that fit; fields and items only once their owner is typed, or when they are what fits."""
    found = []
    for name, value in scope.items():
        if name.startswith("_") or isinstance(value, type) or name in ("In", "Out"):
            continue
        fitting = [n for n, v in inside(name, value) if fits(v, classes) and "anything" not in classes]
        if fits(value, classes):
            found.append(name)
        if not fits(value, classes) or len(fragment) > len(name):
            found += fitting
    return found


def _paths(fragment: str) -> list[str]:
    """``.onnx`` files and folders that begin with `fragment`, quoted where they need it."""
    quote = fragment[:1] if fragment[:1] in ("'", '"') else ""
    typed = fragment[len(quote) :].replace("\\ ", " ")
    folder, _, start = typed.rpartition("/")
    where = Path(folder + "/" if typed.startswith("/") or folder else ".").expanduser()
    found = []
    try:
        entries = sorted(where.iterdir())
    except OSError:
        return []
    for e in entries:
        if not e.name.startswith(start) or (e.name.startswith(".") and not start.startswith(".")):
            continue
        text = (folder + "/" if "/" in typed else "") + e.name
        if e.suffix == ".onnx" and e.is_file():
            q = quote or "'" * (" " in text)
            found.append(q + text + q)
        elif e.is_dir() and start and not any(p in e.name for p in ("__",)):
            found.append(quote + text + "/")
    return found


def _kind(text: str, scope: Mapping[str, Any]) -> str:
    """What the front end writes beside a completion."""
    if text.startswith("--"):
        return "option"
    if "/" in text or text.strip("'\"").endswith(".onnx"):
        return "path"
    return type(scope[text]).__name__ if text in scope else "value"

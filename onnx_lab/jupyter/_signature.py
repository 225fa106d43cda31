"""What a magic takes, read from the core function itself: its signature, its annotations, its docstring.

There is one definition of every option, the function's. Classes that are only imported for type checkers are known
by their names, so reading a signature imports nothing.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from onnx_lab.jupyter._annotations import evaluate, leaves_of, origin_of
from onnx_lab.jupyter._docstring import parse_numpydoc, plain

_MANY = (Sequence, Iterable, Collection, list, tuple, set, frozenset)
_DICTS = (Mapping, dict)


@dataclass(frozen=True)
class Takes:
    """What a parameter accepts.

    Attributes
    ----------
    objects : tuple of str
        Class names of notebook objects, e.g. ``("Model", "Module")``; ``dict`` and ``sequence`` for plain containers,
        ``anything`` where the function decides for itself, ``~Tokenizer`` for classes whose name holds the word.
    choices : tuple of str
        The words of a Literal, or those the docstring lists in braces.
    many : bool
        Several values make a list: ``1,8`` or the option repeated.
    one : bool
        A single value is passed as it is, not as a list of one.
    """

    objects: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    text: bool = False
    path: bool = False
    whole: bool = False
    real: bool = False
    flag: bool = False
    none: bool = False
    many: bool = False
    one: bool = False

    @property
    def expected(self) -> tuple[str, ...]:
        """The classes to suggest: those that are named, if any are."""
        return tuple(o for o in self.objects if o != "anything") or self.objects


@dataclass(frozen=True)
class Parameter:
    """One parameter of a core function, as a word of the magic's line or as a ``--option``."""

    name: str
    takes: Takes
    default: Any
    declared: str
    doc: str
    positional: bool
    required: bool
    own: bool = False  #: an option of the magic, which the function does not know

    @property
    def negates(self) -> bool:
        """Whether there is a ``--no-`` form."""
        return self.takes.flag and not self.own

    @property
    def option(self) -> str:
        """The option's name: ``--max-ms`` for ``max_ms``."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class Signature:
    """Parameters in order, and the docstring in its parts."""

    parameters: tuple[Parameter, ...]
    summary: str
    more: str
    returns: str

    @property
    def positional(self) -> tuple[Parameter, ...]:
        """Those that are words of the line."""
        return tuple(p for p in self.parameters if p.positional)

    def get(self, option: str) -> Parameter | None:
        """The parameter of ``--option`` (dashes or underscores), or None."""
        name = option.lstrip("-").replace("-", "_")
        return next((p for p in self.parameters if p.name == name), None)


def read(function: Callable[..., Any]) -> Signature:
    """The signature of a core function.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> [p.name for p in read(lab.simplify).parameters][:2]
    ['m', 'tool']
    """
    doc = parse_numpydoc(inspect.getdoc(function) or "")
    parameters = []
    for p in inspect.signature(function).parameters.values():
        declared, text = doc.parameters.get(p.name, ("", ""))
        takes = _takes(evaluate(p.annotation, function), declared, text, p.default)
        declared, text = plain(declared), plain(text)
        if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) or takes == Takes(none=takes.none, one=takes.one):
            continue  # nothing that could be typed in a line: a callback
        required = p.default is p.empty
        positional = p.kind is not p.KEYWORD_ONLY
        parameters.append(
            Parameter(p.name, takes, None if required else p.default, declared, text, positional, required)
        )
    return Signature(tuple(parameters), doc.summary, doc.more, doc.returns)


def _takes(annotation: Any, declared: str, doc: str, default: Any) -> Takes:
    """Flatten an annotation into what a word may be; the docstring adds what the annotation leaves open."""
    found: dict[str, Any] = {"objects": [], "choices": []}
    for leaf in leaves_of(annotation):
        items = list(leaves_of(*typing.get_args(leaf)[:1])) if origin_of(leaf) in _MANY else []
        if items and not all(origin_of(i) in _DICTS or origin_of(i) is Any for i in items):
            found["many"] = True
            for item in items:
                _note(item, found)
        else:
            found["one"] = found.get("one", False) or leaf is not type(None)
            _note(leaf, found)
    if "anything" in found["objects"]:
        _note_declared(declared, found)
    if not found["choices"] and found.get("text"):
        found["choices"] = _documented_choices(declared, doc, default, many=found.get("many", False))
    found["objects"] = tuple(dict.fromkeys(found["objects"]))
    found["choices"] = tuple(found["choices"])
    return Takes(**found)


def _note(leaf: Any, found: dict[str, Any]) -> None:
    origin = origin_of(leaf)
    simple = {str: "text", int: "whole", float: "real", bool: "flag", type(None): "none"}
    if origin in simple:
        found[simple[origin]] = True
    elif origin is Literal:
        found["choices"] += [str(c) for c in typing.get_args(leaf)]
    elif isinstance(origin, type) and issubclass(origin, Path):
        found["path"] = True
    elif origin in _DICTS:
        found["objects"].append("dict")
    elif origin in _MANY:
        found["objects"].append("sequence")
    elif getattr(leaf, "_is_protocol", False) is True:
        found["objects"] += [f"~{leaf.__name__}", "anything"]
    elif isinstance(leaf, typing.ForwardRef):
        found["objects"].append(leaf.__forward_arg__.split(".")[-1])
    elif origin is not Callable and not (isinstance(leaf, type) and leaf.__name__ == "PathLike"):
        found["objects"].append("anything" if leaf is Any else str(getattr(leaf, "__name__", leaf)).split(".")[-1])


def _note_declared(declared: str, found: dict[str, Any]) -> None:
    """Where the annotation says Any, the docstring's type says what is meant: ``"Model, torch.nn.Module or str"``."""
    words = set(re.findall(r"[A-Za-z]+", declared))
    found["objects"][:0] = [w for w in ("Model", "Module", "PreTrainedModel", "Task", "dict") if w in words]
    found["text"] = found.get("text", False) or "str" in words
    found["path"] = found.get("path", False) or "Path" in words
    found["many"] = found.get("many", False) or bool(words & {"list", "sequence"})


def _documented_choices(declared: str, doc: str, default: Any, *, many: bool) -> list[str]:
    """The words of ``{"a", "b"}`` in a docstring's type; else those that its text lists as code."""
    if braced := re.search(r"\{([^}:]*)\}", declared):
        return [c.strip().strip("'\"`") for c in braced[1].split(",")]
    # four names in a row are a list of choices, fewer are examples; a single word's choices are quoted
    words = re.findall(r"``(\w+)``" if many else r"``\"([\w-]+)\"``", doc)
    if not many and words and isinstance(default, str):
        words.insert(0, default)
    return list(dict.fromkeys(words)) if len(words) >= (4 if many else 2) else []

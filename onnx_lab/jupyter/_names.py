"""Objects of the notebook by name: ``net``, ``bert.model``, ``nets[0]``, ``{any expression}``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onnx_lab.errors import BadInput, did_you_mean

#: Containers with more items than this are not looked into for suggestions.
_LOOK_INTO = 20


class Names:
    """The names a line may use, innermost scope first.

    Examples
    --------
    >>> names = Names({"nets": [1, 2]}, {"x": 3})
    >>> names.known("nets[0]"), names.get("nets[1]"), names.evaluate("{x + 1}")
    (True, 2, 4)
    """

    def __init__(self, *scopes: Mapping[str, Any]) -> None:
        self.scope: dict[str, Any] = {}
        for s in reversed(scopes):
            self.scope |= s

    def known(self, text: str) -> bool:
        """Whether `text` is a name, attribute or item that begins with a name of the notebook."""
        root = _root(text)
        return root is not None and root in self.scope

    def get(self, text: str) -> Any:
        """The object. Raises BadInput when an attribute or item is not there."""
        return self._eval(text, text)

    def evaluate(self, text: str) -> Any:
        """The value of ``{expression}`` or ``$name``."""
        if text.startswith("$"):
            return self._eval(text[1:], text)
        inner = text[1:-1].strip()
        try:
            ast.parse(inner, mode="eval")
        except SyntaxError:
            inner = text  # a dict or set written out
        return self._eval(inner, text)

    def fitting(self, classes: Sequence[str]) -> list[str]:
        """Expressions for the objects that fit one of `classes`: variables, their fields, their items."""
        return [text for text, value in self._walk() if fits(value, classes)]

    def unknown(self, text: str, classes: Sequence[str], accepted: str) -> BadInput:
        """The error for a word that is no name of the notebook."""
        here = self.fitting(classes)
        do = did_you_mean(text, here) if here else "run the cell that makes it first, or give a path"
        return BadInput(f"nothing here is called {text!r}", accepted=accepted, do=do)

    def _eval(self, expression: str, typed: str) -> Any:
        try:
            return eval(expression, self.scope)  # what the user typed in their own kernel
        except NameError as e:
            name = e.name or expression
            near = did_you_mean(name, self._visible())
            raise BadInput(f"{typed}: nothing here is called {name!r}", do=near if "mean" in near else "") from None
        except Exception as e:
            raise BadInput(f"{typed}: {type(e).__name__}: {e}", do=self._members(expression)) from None

    def _visible(self) -> list[str]:
        return [n for n in self.scope if not n.startswith("_")]

    def _members(self, expression: str) -> str:
        """A hint for a mistyped attribute."""
        owner, _, attribute = expression.rpartition(".")
        if not owner.isidentifier() or owner not in self.scope:
            return ""
        hint = did_you_mean(attribute, [a for a in dir(self.scope[owner]) if not a.startswith("_")])
        return hint if hint.startswith("did") else ""

    def _walk(self) -> Iterator[tuple[str, Any]]:
        for name in self._visible():
            value = self.scope[name]
            if isinstance(value, type) or name in ("In", "Out"):
                continue
            yield name, value
            yield from inside(name, value)


def inside(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass-like object and the items of a small container, without running any property."""
    if isinstance(value, Mapping) and len(value) <= _LOOK_INTO:
        yield from ((f"{name}[{k!r}]", v) for k, v in value.items() if isinstance(k, str | int))
    elif isinstance(value, list | tuple) and len(value) <= _LOOK_INTO:
        yield from ((f"{name}[{i}]", v) for i, v in enumerate(value))
    elif hasattr(type(value), "__dataclass_fields__"):
        fields = vars(value) if hasattr(value, "__dict__") else {}
        yield from ((f"{name}.{k}", v) for k, v in fields.items() if not k.startswith("_"))


def fits(value: Any, classes: Iterable[str]) -> bool:
    """Whether `value` is of one of the classes, told by the names in its ancestry so that none is imported."""
    ancestry = {c.__name__ for c in type(value).__mro__}
    for c in classes:
        if c == "anything" or c in ancestry:
            return True
        if c[0] == "~" and any(c[1:] in name for name in ancestry):
            return True
        if c == "dict" and isinstance(value, Mapping):
            return True
        # a re-iterable dataset may be any object that starts anew at each iteration
        if c == "sequence" and isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
            return True
    return False


def _root(text: str) -> str | None:
    """The first name of ``a``, ``a.b``, ``a[0].b``; None for anything else."""
    if not re.match(r"[^\W\d]", text):
        return None
    try:
        node: ast.AST = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return None
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None

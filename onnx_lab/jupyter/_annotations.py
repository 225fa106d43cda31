"""Annotations read without importing what they name: a class that only type checkers import is known by its name."""

from __future__ import annotations

import builtins
import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any


def origin_of(leaf: Any) -> Any:
    """``list`` of ``list[int]``; the class itself where there are no brackets."""
    return typing.get_origin(leaf) or leaf


def leaves_of(*annotations: Any) -> Iterable[Any]:
    """The members of unions, however they are written."""
    for a in annotations:
        if isinstance(a, _Either):
            yield from leaves_of(*a.members)
        elif typing.get_origin(a) in (typing.Union, types.UnionType):
            yield from leaves_of(*typing.get_args(a))
        elif typing.get_origin(a) is typing.Annotated:
            yield from leaves_of(typing.get_args(a)[0])
        else:
            yield type(None) if a is None else a


def evaluate(annotation: Any, function: Callable[..., Any]) -> Any:
    """An annotation's value as `function`'s module sees it; Any where nothing is declared."""
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, {}, _Scope(function))  # our own source text, not the user's
    except TypeError:  # a form that abc refuses with a class known by its name only
        return Any


class _Scope(dict[str, Any]):
    """Names as the function's module sees them; one that only type checkers import becomes a `_Named`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__({**vars(builtins), **inspect.unwrap(function).__globals__})

    def __missing__(self, name: str) -> Any:
        return _Named(name)


class _Named:
    """A class known by its name: ``torch.nn.Module`` without torch."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> _Named:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Named(f"{self.__name__}.{name}")

    def __getitem__(self, _: Any) -> _Named:
        return self

    def __or__(self, other: Any) -> _Either:
        return _Either(self, other)

    def __ror__(self, other: Any) -> _Either:
        return _Either(other, self)


class _Either:
    """A union with a `_Named` in it."""

    def __init__(self, *members: Any) -> None:
        self.members = members

    def __or__(self, other: Any) -> _Either:
        return _Either(*self.members, other)

    def __ror__(self, other: Any) -> _Either:
        return _Either(other, *self.members)

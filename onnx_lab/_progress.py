"""Progress of a step, told from wherever the work is done to whoever listens to this call.

A step that takes a `progress` argument tells that; all others `tell` here, so that counts of batches reach a live panel
without every function on the way having an argument for them.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, TypeVar

Listener = Callable[[dict[str, Any]], None]
_T = TypeVar("_T")
_listener: contextvars.ContextVar[Listener | None] = contextvars.ContextVar("onnx_lab progress", default=None)


@contextlib.contextmanager
def listening(to: Listener) -> Iterator[None]:
    """Inside, `tell` reaches `to`.

    Examples
    --------
    >>> heard = []
    >>> with listening(heard.append):
    ...     total = sum(counted([1, 2], "adding"))
    >>> total, heard[-1]
    (3, {'kind': 'counting', 'state': 'adding 2 of 2', 'done': 1, 'of': 2})
    """
    token = _listener.set(to)
    try:
        yield
    finally:
        _listener.reset(token)


def listener() -> Listener | None:
    """Who listens, if anybody does: for steps whose news cost something to put together."""
    return _listener.get()


def tell(event: dict[str, Any]) -> None:
    """Tell whoever listens; nothing happens when nobody does."""
    if (listener := _listener.get()) is not None:
        listener(event)


def counted(items: Iterable[_T], doing: str) -> Iterator[_T]:
    """`items`, telling before each one which it is: ``"comparing batch 3 of 10"``, where their number is known."""
    of = len(items) if isinstance(items, Sized) else None
    for done, item in enumerate(items):
        if of is None:
            tell({"kind": "counting", "state": f"{doing} {done + 1}"})
        else:
            tell({"kind": "counting", "state": f"{doing} {done + 1} of {of}", "done": done, "of": of})
        yield item

"""A small pool of live workers: the least recently used one makes room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What a pool keeps."""

    @property
    def alive(self) -> bool: ...
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


class Pool(Generic[T]):
    """At most `size` live things by key.

    Examples
    --------
    >>> class Thing:
    ...     alive = True
    ...     def close(self): self.alive = False
    >>> pool = Pool(1)
    >>> a = pool.get("a", Thing)
    >>> pool.get("a", Thing) is a, pool.get("b", Thing) is a, a.alive
    (True, False, False)
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing under `key`, made anew when there is none or it has died."""
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is None or not kept.alive:
                while len(self._kept) >= self._size:
                    self._kept.popitem(last=False)[1].close()
                kept = make()
            self._kept[key] = kept
            return kept

    def close(self) -> None:
        """Close all."""
        with self._lock:
            while self._kept:
                self._kept.popitem()[1].close()

"""A call on its way to a child: Models as their paths, classes of the notebook by value, or the reason why not.

Large arrays, the weights of torch modules too, are not copied: they go into the pipe from where they lie. So sending a
model costs the kernel no memory, which is one reason for sending it.
"""

from __future__ import annotations

import io
import linecache
import os
import pickle
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from onnx_lab.background import _frames
from onnx_lab.runtime._pickled import search_path

#: Arrays above this many bytes are sent from where they lie.
_LARGE = 1 << 20
#: Most characters of notebook cells that travel along.
_MOST_SOURCE = 2_000_000


class CannotTravel(Exception):
    """What was given works in this process only."""


class Call(NamedTuple):
    """What a child is asked to do.

    Attributes
    ----------
    verb : str
        A public function of the lab: ``"bench"``, ``"surgery.expose"``.
    arguments : mapping
        By name; those by position under ``"*"``.
    in_turn : bool
        Whether nothing may measure meanwhile.
    """

    verb: str
    arguments: Mapping[str, Any]
    in_turn: bool = False


@dataclass(frozen=True)
class Packed:
    """A call as bytes, and the buffers of its large arrays."""

    call: bytes
    buffers: tuple[memoryview, ...]

    def frames(self) -> Iterator[bytes | memoryview]:
        """What is written into the pipe, piece by piece."""
        yield _frames.encode(b"C", self.call)
        for b in self.buffers:
            yield _frames.head(b"B", b.nbytes)
            yield b


def packed(call: Call) -> Packed:
    """The call, ready to be sent.

    Raises
    ------
    CannotTravel
        For objects with open files, threads, engines, or data that is read only once.
    """
    for name, value in call.arguments.items():
        for one in value if isinstance(value, tuple) else [value]:
            if hasattr(one, "__next__"):
                what = "the data" if name == "*" else name
                raise CannotTravel(f"{what} is an iterator, which only this process can read")
    data = io.BytesIO()
    views: list[memoryview] = []

    def stays(b: pickle.PickleBuffer) -> bool:
        """Whether an array becomes a part of the pickle."""
        if (view := b.raw()).nbytes >= _LARGE:
            views.append(view)
        return view.nbytes < _LARGE

    try:
        _pickler()(data, protocol=5, buffer_callback=stays).dump((call.verb, dict(call.arguments), call.in_turn))
    except Exception as e:
        raise CannotTravel(f"{type(e).__name__}: {e}") from e
    head = {"paths": search_path(), "sources": _cells(), "buffers": len(views), "call": data.getvalue()}
    return Packed(pickle.dumps(head), tuple(views))


def opened(head: Mapping[str, Any], buffers: list[bytearray]) -> Call:
    """The call, in the child."""
    sys.path[:] = list(dict.fromkeys([*sys.path, *head["paths"]]))
    for file, lines in head["sources"].items():
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
    return Call(*pickle.loads(head["call"], buffers=buffers))


def _cells() -> dict[str, list[str]]:
    """The lines of notebook cells, which are in no file: an error in the child names them as it would here."""
    found, left = {}, _MOST_SOURCE
    for file, entry in reversed(list(linecache.cache.items())):  # the newest first
        if len(entry) == 4 and entry[1] is None and not os.path.exists(file):
            left -= sum(map(len, entry[2]))
            if left < 0:
                break
            found[file] = list(entry[2])
    return found


def _pickler() -> Any:
    """cloudpickle's, which sends classes of a notebook by value; Python's own without it."""
    try:
        import cloudpickle as tool
    except ImportError:
        tool = pickle
    base: Any = tool.Pickler

    class Pickler(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._storages: dict[int, Any] = {}  # tensors that share one share it in the child too

        def reducer_override(self, obj: Any) -> Any:
            torch = sys.modules.get("torch")
            if torch is not None and type(obj) is torch.storage.TypedStorage:
                untyped = obj._untyped_storage  # its public name warns
                return _typed, (self._storages.setdefault(untyped.data_ptr(), untyped), obj.dtype)
            if torch is not None and type(obj) is torch.UntypedStorage and obj.device.type == "cpu":
                flat = torch.tensor([], dtype=torch.uint8).set_(obj)
                return _untyped, (pickle.PickleBuffer(flat.numpy()),)
            return super().reducer_override(obj)

    return Pickler


def _typed(untyped: Any, dtype: Any) -> Any:
    import torch

    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)


def _untyped(data: Any) -> Any:
    import torch

    view = memoryview(data)
    return torch.frombuffer(view, dtype=torch.uint8).untyped_storage() if view.nbytes else torch.UntypedStorage(0)

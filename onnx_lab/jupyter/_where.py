"""Where a step works when nobody said: inside the kernel, or in a child when what it works on is large."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from onnx_lab.model import Model
from onnx_lab.produce import NotMade, only_looking

#: A step holds two to five times what it works on. Above this it may take the kernel, with everything the notebook
#: holds, over the container's limit; and it takes longer than a child does to start: docs/decisions.md.
BIG_BYTES = 100_000_000
#: Steps that write one file, with no work before they look whether it is there.
_CACHED = frozenset("export simplify optimize fix_shapes fp16 bf16 mixed_precision quantize".split())
#: Steps that edit graphs and weights where they are called. All others leave models to engines, which are in processes
#: of their own wherever the step is called from.
_MAKES = _CACHED | {"best"}


def is_big(verb: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a step would hold much here: one that makes files, of Models and torch modules above `BIG_BYTES`."""
    if verb not in _MAKES and not _is_edit(verb):
        return False
    total = 0
    for name, value in arguments.items():
        for thing in _things(value):
            if verb == "export" and name == "obj" and isinstance(thing, str | os.PathLike):
                total += _on_disk(os.fspath(thing))
            total += _bytes(thing)
    return total > BIG_BYTES


def made_before(verb: str, work: Callable[[], Any], arguments: Mapping[str, Any]) -> Any:
    """The file of this step when the workspace has it, else None. Costs a digest of what it works on, no more."""
    if not (verb in _CACHED or _is_edit(verb)) or any(hasattr(v, "__next__") for v in arguments.values()):
        return None
    with contextlib.suppress(NotMade), only_looking():
        return work()
    return None


def _is_edit(verb: str) -> bool:
    return verb.startswith("surgery.")


def _things(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for v in value:
            yield from _things(v)
    else:
        yield value


def _bytes(thing: Any) -> int:
    if isinstance(thing, Model):
        with contextlib.suppress(OSError):
            return thing.size_bytes
    if _is_module(thing):
        return sum(t.numel() * t.element_size() for t in (*thing.parameters(), *thing.buffers()))
    return 0


def _is_module(thing: Any) -> bool:
    """A torch module; those of Keras stay here: their engine is set up in this process."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.nn.Module) and "keras" not in _packages(thing)


def _packages(thing: Any) -> set[str]:
    return {k.__module__.split(".")[0] for k in type(thing).__mro__}


def _on_disk(text: str) -> int:
    """Bytes of a folder of weights; a name on a hub counts as large, as nobody knows before it is fetched."""
    path = Path(text).expanduser()
    if path.is_dir():
        return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    return 0 if path.exists() or path.suffix in (".onnx", ".keras", ".h5") else BIG_BYTES + 1

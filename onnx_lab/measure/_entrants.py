"""Who takes part: names, targets and feeds for whatever was given to `bench`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnx_lab._a_model import not_a_model
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.feeds import check_feeds, model_feeds
from onnx_lab.measure._taken import Entrant
from onnx_lab.model import Model, TensorSpec
from onnx_lab.runtime._wire import Array
from onnx_lab.runtime.client import Worker
from onnx_lab.runtime.keras_models import is_keras, module_name
from onnx_lab.runtime.target import PROVIDERS, Target
from onnx_lab.task import Feeds, batch_size

TORCH = "torch"
#: The sequence length that is taken when nobody asked for one: a model with a fixed length keeps its own.
DEFAULT_SEQ = 128

_ACCEPTED = "Models, torch modules, (contestant, target) pairs, or a dict of name -> one of these"


@dataclass(frozen=True)
class Contestant:
    """One thing on one target. `what` is a Model or a torch module; `target` is None for a module."""

    name: str
    what: Any
    target: Target | None
    autocast: str | None = None

    @property
    def on(self) -> str:
        """The target in words."""
        if self.target is not None:
            return str(self.target)
        return f"{TORCH}[{self.autocast}]" if self.autocast else TORCH

    @property
    def size_bytes(self) -> int:
        """Bytes of the file, or of a module's parameters and buffers."""
        if isinstance(self.what, Model):
            return self.what.size_bytes
        tensors = [*self.what.parameters(), *self.what.buffers()]
        return sum(t.numel() * t.element_size() for t in tensors)

    def entrant(self, feeds: tuple[Feeds, ...], threads: int) -> Entrant:
        """What the rounds need to know."""
        if self.target is None:
            return Entrant(self.name, self.on, lambda: self._open_torch(threads), feeds, sent=True)
        # one budget for all, unless a target states its own: a sweep over threads
        target = self.target if self.target.threads else replace(self.target, threads=threads)
        return Entrant(self.name, self.on, lambda: Worker.for_model(self.what, target), feeds)

    def _open_torch(self, threads: int) -> Worker:
        return Worker.for_torch(self.what, threads=threads, autocast=self.autocast, name=self.name)


@dataclass(frozen=True)
class Shape:
    """One cell of the grid; `seq` is None for models without a sequence axis."""

    batch: int
    seq: int | None

    def __str__(self) -> str:
        return f"({self.batch}, {self.seq})" if self.seq else f"({self.batch})"


def is_module(thing: object) -> bool:
    """Whether it is a torch module, without importing torch: a module exists only where torch was imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.nn.Module)


def contestants(given: Any, targets: Sequence[str | Target]) -> tuple[Contestant, ...]:
    """Every contestant on every target, named so that no two are called the same.

    Raises
    ------
    BadInput
        For an empty list, or something that cannot be timed.
    """
    named = _named(given)
    if not named:
        raise BadInput("no contestants", accepted=_ACCEPTED)
    found: list[Contestant] = []
    for name, thing in named:
        what, on = thing if _is_pair(thing) else (thing, None)
        if isinstance(what, Model):
            chosen: Iterable[str | Target | None] = [on] if on is not None else targets
            found += [Contestant(name or what.name, what, Target.of(t)) for t in chosen]
        elif is_module(what):
            found.append(
                Contestant(
                    name or f"{module_name(what)} ({'Keras' if is_keras(what) else 'PyTorch'})",
                    what,
                    None,
                    _autocast(on),
                )
            )
        else:
            raise not_a_model(what, accepted=_ACCEPTED)
    return _distinct(found)


def find_reference(against: Any, found: Sequence[Contestant]) -> Contestant:
    """The contestant that ratios refer to: the one named, else PyTorch when it takes part, else the first.

    Raises
    ------
    BadInput
        When `against` takes no part.
    """
    if against is None:
        return next((c for c in found if c.target is None), found[0])
    what, on = against if _is_pair(against) else (against, None)
    wanted = str(Target.of(on)) if on is not None and on in PROVIDERS else on
    for c in found:
        named = isinstance(what, str) and c.name == what
        same = c.what is what or (isinstance(what, Model) and c.what == what)
        if (named or same) and (wanted is None or c.on == str(wanted)):
            return c
    name = what if isinstance(what, str) else getattr(what, "name", type(what).__name__)
    names = [c.name for c in found]
    raise BadInput(f"against={name!r} takes no part", accepted=", ".join(names), do=did_you_mean(str(name), names))


def shapes_and_feeds(
    found: Sequence[Contestant], batches: Sequence[int], seqs: Sequence[int], feeds: Feeds | None, seed: int
) -> tuple[tuple[Shape, ...], list[tuple[Feeds, ...]]]:
    """The shapes that are really run, and each contestant's feeds for each of them.

    A dimension that a model fixes stays as it is; shapes that come out the same are run once.

    Raises
    ------
    BadInput
        When contestants would run different amounts of work, or a module has nothing to take its feeds from.
    """
    leader = next((c for c in found if c.target is not None), None)
    if leader is None and feeds is None:
        raise BadInput(
            "only PyTorch modules and no feeds",
            accepted="feeds={'input_ids': array, ...}, or a Model beside the modules",
            do="lab.bench([module, lab.export(module)])",
        )
    grid = [(b, s) for b in batches for s in seqs] if feeds is None else [(0, 0)]
    per_shape: dict[Shape, list[Feeds]] = {}
    for b, s in grid:
        made = [feeds or model_feeds((c if c.target else leader).what, batch=b, seq=s, seed=seed) for c in found]  # type: ignore[union-attr]
        made = [_fitted(c, f) for c, f in zip(found, made, strict=True)]
        shape = _common_shape(found, made)
        if feeds is None:
            _check_asked(shape, b, s, found[0].name, len(seqs) > 1 or s != DEFAULT_SEQ)
        per_shape.setdefault(shape, made)
    columns = zip(*per_shape.values(), strict=True)
    return tuple(per_shape), [tuple(c) for c in columns]


def _check_asked(shape: Shape, batch: int, seq: int, name: str, seq_was_asked: bool) -> None:
    """Refuse to call a fixed shape by the name of the one that was asked for."""
    if shape.batch != batch:
        raise BadInput(
            f"batch={batch}, and {name} is fixed at a batch of {shape.batch}",
            do=f"batch={shape.batch}, or export it with a dynamic batch axis",
        )
    if shape.seq not in (None, seq) and seq_was_asked:
        raise BadInput(
            f"seq={seq}, and {name} is fixed at a length of {shape.seq}",
            do=f"seq={shape.seq}, or export it with a dynamic sequence axis",
        )


def _common_shape(found: Sequence[Contestant], made: Sequence[Feeds]) -> Shape:
    shapes = [_shape_of(f) for f in made]
    for c, s in zip(found, shapes, strict=True):
        if s != shapes[0]:
            raise BadInput(
                f"{found[0].name} runs at {shapes[0]} and {c.name} at {s}: one of them has fixed dimensions",
                accepted="contestants that do the same work",
                do=f"bench both at the fixed shape, or export {c.name} with dynamic axes",
            )
    return shapes[0]


def _shape_of(feeds: Feeds) -> Shape:
    """Batch and sequence length as the arrays have them: integers of rank 2 are ids, floats of rank 3 are states."""
    for value in feeds.values():
        kind, rank = value.dtype.kind, value.ndim
        if (kind in "iu" and rank == 2) or (kind == "f" and rank == 3):
            return Shape(batch_size(feeds), int(value.shape[1]))
    return Shape(batch_size(feeds), None)


def _fitted(c: Contestant, feeds: Feeds) -> Feeds:
    """The feeds that this contestant takes, floats in its own precision."""
    if c.target is None:
        return feeds
    specs: dict[str, TensorSpec] = {s.name: s for s in c.what.inputs}
    fitted = {k: _cast(v, specs[k].dtype) for k, v in feeds.items() if k in specs}
    check_feeds(c.what.inputs, fitted)
    return fitted


def _cast(value: Array, dtype: str) -> Array:
    return value.astype(dtype) if value.dtype.kind == "f" and dtype.startswith("float") else value


def _named(given: Any) -> list[tuple[str | None, Any]]:
    if isinstance(given, Mapping):
        return [(str(k), v) for k, v in given.items()]
    if isinstance(given, (Model, str)) or is_module(given) or _is_pair(given) or not isinstance(given, Iterable):
        return [(None, given)]
    return [(None, x) for x in given]


def _is_pair(thing: object) -> bool:
    return isinstance(thing, tuple) and len(thing) == 2 and isinstance(thing[1], (str, Target))


def _autocast(on: str | Target | None) -> str | None:
    if on in (None, TORCH):
        return None
    if on in ("bfloat16", "bf16"):
        return "bfloat16"
    raise BadInput(f"a PyTorch module on {on}", accepted="'torch', or 'bfloat16' for CPU autocast")


def _distinct(found: Sequence[Contestant]) -> tuple[Contestant, ...]:
    seen: dict[tuple[str, str], int] = {}
    result = []
    for c in found:
        count = seen[c.name, c.on] = seen.get((c.name, c.on), 0) + 1
        result.append(c if count == 1 else replace(c, name=f"{c.name} #{count}"))
    return tuple(result)

"""Which tensors of two files are the same tensor: by name, by what a quantizer made of the name, by module, by order.

Transforms keep the names of what they do not remove. Quantizers write `x` as ``x_quantized`` or
``x_DequantizeLinear_Output``; another export of the same network keeps the user's modules, and what leaves a module is
its output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onnx_lab._metadata import module_of

if TYPE_CHECKING:
    import onnx_ir as ir

Array = npt.NDArray[np.generic]

#: Behind a tensor's name in onnxruntime's quantized files: float again, or integers with a scale.
_FLOAT = ("_DequantizeLinear_Output", "_QuantizeLinear_Input")
_INTEGERS = ("_quantized",)


@dataclass(frozen=True)
class Scale:
    """What integers of a quantized file mean."""

    scale: npt.NDArray[np.float32]
    zero: Array

    def floats(self, q: Array) -> Array:
        """(q - zero) * scale."""
        return np.asarray((q.astype(np.int32) - self.zero.astype(np.int32)) * self.scale, np.float32)

    def along(self, axis: int, rank: int) -> Scale:
        """The same with one scale for each place on `axis`."""
        shape = [-1 if i == axis else 1 for i in range(rank)]
        zero = self.zero.reshape(shape) if self.zero.size > 1 else self.zero
        return Scale(self.scale.reshape(shape), zero)


@dataclass(frozen=True)
class Pair:
    """One tensor in both: its name in each.

    `how` is "name", "rounded" (in `b` after its way through 8 bits), "module" or "order"; `module` is the one that it
    leaves, where that is how it was found. `scale` tells what integers in `b` mean.
    """

    a: str
    b: str
    how: str = "name"
    module: str = ""
    scale: Scale | None = None


def pairs(a: ir.Model, b: ir.Model) -> list[Pair]:
    """The tensors of both, in the order in which `b` computes them; empty for strangers."""
    theirs = {v.name: v for v in _made(a)}
    found = {p.b: p for v in _made(b) if (p := _by_name(b, v.name or "", theirs))}
    known = {p.a for p in found.values()}
    for p in by_module(leaving(a), leaving(b)):
        if p.a not in known and p.b not in found:
            found[p.b] = p
    if not found:
        found = {p.b: p for p in _by_order(a, b)}
    return [found[v.name] for v in _made(b) if v.name in found]


def leaving(model: ir.Model) -> dict[str, list[str]]:
    """The user's own module -> the tensors that leave it, in the order of the graph; outer modules too."""
    found: dict[str, list[str]] = {}
    for node in model.graph:
        own = module_of(node)
        for value in node.outputs:
            readers = [module_of(n) for n in value.consumers()]
            for module in _and_around(own):
                if value.is_graph_output() or any(not _inside(r, module) for r in readers):
                    found.setdefault(module, []).append(value.name or "")
    return found


def by_module(a: Mapping[str, Sequence[str]], b: Mapping[str, Sequence[str]]) -> Iterator[Pair]:
    """The last tensor that leaves each module that both have; an outer module's is that of its last inner one."""
    seen: set[tuple[str, str]] = set()
    for module in sorted(b, key=lambda m: -m.count(".")):
        if module in a and (both := (a[module][-1], b[module][-1])) not in seen:
            seen.add(both)
            yield Pair(*both, "module", module)


def _by_name(b: ir.Model, name: str, theirs: Mapping[str | None, ir.Value]) -> Pair | None:
    if name in theirs:
        return Pair(name, name)
    for suffix in _FLOAT:
        if name.endswith(suffix) and (plain := name.removesuffix(suffix)) in theirs:
            return Pair(plain, name, "rounded")
    for suffix in _INTEGERS:
        plain = name.removesuffix(suffix)
        if plain != name and plain in theirs and (scale := scale_of(b, plain)):
            return Pair(plain, name, "rounded", scale=scale)
    return None


def scale_of(b: ir.Model, plain: str) -> Scale | None:
    """The scale that onnxruntime's quantizer wrote for tensor `plain`; None where it is computed at each run."""
    weights = b.graph.initializers
    both = [weights.get(f"{plain}_{word}") for word in ("scale", "zero_point")]
    tensors = [v.const_value for v in both if v is not None and v.const_value is not None]
    return Scale(tensors[0].numpy().astype(np.float32), tensors[1].numpy()) if len(tensors) == 2 else None


def _by_order(a: ir.Model, b: ir.Model) -> Iterator[Pair]:
    """Where nothing else tells: the same operators in the same order."""
    if [n.op_type for n in a.graph] == [n.op_type for n in b.graph]:
        for one, other in zip(a.graph, b.graph, strict=True):
            for x, y in zip(one.outputs, other.outputs, strict=False):
                yield Pair(x.name or "", y.name or "", "order")


def _made(model: ir.Model) -> Iterator[ir.Value]:
    return (v for node in model.graph for v in node.outputs if v.name)


def _and_around(module: str) -> list[str]:
    parts = module.split(".") if module else []
    return [".".join(parts[:i]) for i in range(len(parts), 0, -1)]


def _inside(module: str, outer: str) -> bool:
    return module == outer or module.startswith(f"{outer}.")

"""What float16 does to each tensor of a model, on data: which ones it cannot hold, and where the error grows.

Every batch goes through the graph twice, once exact and once rounded; probes inside (`_probes`) say what came of each
tensor.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnx_lab.runtime.activations import Tap, tapped
from onnx_lab.transforms._half import LARGEST_FP16
from onnx_lab.transforms._probes import Probes, Reading, probed
from onnx_lab.transforms._rounded import EXACT, SWITCHES, Rounded

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.task import Dataset, Feeds

#: The first number that float16 rounds to infinity.
_TO_INFINITY = 65520.0


@dataclass
class Seen:
    """One tensor over all batches: its largest finite magnitude in float32 and in float16, and from samples the
    squared sums of the difference and of the values.
    """

    exact: float = 0.0
    half: float = 0.0
    difference: float = 0.0
    square: float = 0.0

    def add(self, exact: Reading, half: Reading) -> None:
        self.exact = max(self.exact, exact.largest)
        self.half = max(self.half, half.largest if half.finite >= exact.finite else math.inf)
        a, b = exact.sample.astype(np.float64), half.sample.astype(np.float64)
        # a mask's lowest number says nothing about rounding
        small = np.isfinite(b) & (np.abs(np.nan_to_num(a, nan=np.inf)) <= LARGEST_FP16)
        self.difference += float(np.square(a[small] - b[small]).sum())
        self.square += float(np.square(a[small]).sum())

    @property
    def error(self) -> float:
        """Norm of the difference next to that of the values."""
        return math.sqrt(self.difference / self.square) if self.square else 0.0

    def overflows(self, above: float) -> bool:
        """Whether float16 cannot hold it. A constant of -3.4e38 that the converter clamps is no overflow."""
        if self.exact <= above:
            return False
        return self.exact <= LARGEST_FP16 or self.half >= _TO_INFINITY


class Look:
    """Compares every tensor of the float32 model with the same where some nodes round; made by `looking`."""

    def __init__(self, tap: Tap, probes: Probes, graph: Rounded, data: Dataset, keep_io: bool) -> None:
        self._tap, self._probes, self._graph, self._data, self._keep_io = tap, probes, graph, data, keep_io
        self._exact: list[dict[str, Reading]] = []

    def at(self, half: Collection[str]) -> dict[str, Seen]:
        """What is seen over all batches when the nodes in `half` round."""
        seen = {name: Seen() for name in self._probes.tensors}
        for i, feeds in enumerate(self._data):
            if i == len(self._exact):
                self._exact.append(self._read(self._graph.feeds(feeds, None)))
            rounds = self._read(self._graph.feeds(feeds, half, keep_io=self._keep_io))
            for name, reading in rounds.items():
                seen[name].add(self._exact[i][name], reading)
        return seen

    def _read(self, feeds: Feeds) -> dict[str, Reading]:
        return self._probes.readings(dict(self._tap.read(feeds)))


@contextmanager
def looking(graph: Rounded, data: Dataset, keep_io: bool) -> Iterator[Look]:
    """Open `graph` with probes at all of its float32 tensors."""
    instrumented, probes = probed(graph.graph, [*_float_inputs(graph), *graph.tensors])
    with tapped(instrumented, probes.outputs) as tap:
        yield Look(tap, probes, graph, data, keep_io)


def overflowing(graph: Rounded, seen: dict[str, Seen], above: float) -> dict[str, str]:
    """Node -> why it cannot be float16: it reads or writes a tensor that float16 cannot hold.

    Masked scores may: a Softmax makes of -inf what it makes of -3.4e38, and of +inf a NaN, which no tolerance passes.
    """
    too_large = beyond(graph, seen, above)
    reasons: dict[str, str] = {}
    for name, reads, writes in ties(graph):
        for word, tensors in (("writes", writes), ("reads", reads)):
            if found := max((t for t in tensors if t in too_large), key=too_large.__getitem__, default=None):
                plain = found.removesuffix(EXACT)
                reasons.setdefault(name, f"{word} {plain!r}, which reaches {too_large[found]:.3g}")
    return reasons


def beyond(graph: Rounded, seen: dict[str, Seen], above: float) -> dict[str, float]:
    """The tensors that float16 cannot hold, with the largest magnitude of each in float32."""
    scores = _only_for_softmax(graph)
    return {name: s.exact for name, s in seen.items() if s.overflows(above) and name not in scores}


def undefined(graph: Rounded, seen: dict[str, Seen]) -> dict[str, str]:
    """Node -> the tensor in which it makes NaN or infinity of numbers that are finite in float16.

    What it divides by is zero there, or what it subtracts; too large for float16 it is not.
    """
    found = {}
    for name, reads, writes in ties(graph):
        if all(seen[t].half < _TO_INFINITY for t in reads if t in seen):
            bad = [t for t in writes if t in seen and not math.isfinite(seen[t].half)]
            if bad and seen[bad[0]].exact <= LARGEST_FP16:
                found[name] = bad[0].removesuffix(EXACT)
    return found


def growth(graph: Rounded, seen: dict[str, Seen]) -> dict[str, float]:
    """Node -> how much more relative error comes out of it than goes in."""
    grown = {}
    for name, reads, writes in ties(graph):
        before = max((seen[t].error for t in reads if t in seen), default=0.0)
        after = max((seen[t].error for t in writes if t in seen), default=0.0)
        grown[name] = after - before
    return grown


def ties(graph: Rounded) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """Name, tensors read and tensors written of each node that may be float16, as in the graph before it was wired."""
    by_name = {n.name: n for n in graph.graph.graph}
    for name in graph.nodes:
        node = by_name[name]
        reads = [_behind(v) for v in node.inputs if v is not None]
        yield name, reads, [v.name or "" for v in node.outputs]


def _only_for_softmax(graph: Rounded) -> set[str]:
    readers: dict[str, set[str]] = {}
    for node in graph.graph.graph:
        if not (node.name or "").startswith(SWITCHES):
            for value in node.inputs:
                readers.setdefault(_behind(value) if value is not None else "", set()).add(node.op_type)
    return {name for name, kinds in readers.items() if kinds == {"Softmax"}}


def _behind(value: ir.Value) -> str:
    """The tensor that a node would read without its switch: ``Where(switch, twin, tensor)``."""
    producer = value.producer()
    if producer is not None and (producer.name or "").startswith(f"{SWITCHES}.Where"):
        original = producer.inputs[2]
        assert original is not None
        return original.name or ""
    return value.name or ""


def _float_inputs(graph: Rounded) -> list[str]:
    import onnx_ir as ir

    return [v.name or "" for v in graph.graph.graph.inputs if v.dtype == ir.DataType.FLOAT and not v.is_initializer()]

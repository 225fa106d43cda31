"""Instruments inside of a graph: of each tensor its largest finite magnitude, its finite share, and a sample of it.

Whole activations of a large batch are gigabytes, and reading them in groups runs the model once for each group. Reduced
where they arise they are a few kilobytes, and one run reads them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx_ir as ir

Array = npt.NDArray[np.generic]

_PREFIX = "onnx_lab.probe"
#: Numbers of each tensor that are read as they are.
_SAMPLE = 8192


@dataclass(frozen=True)
class Reading:
    """One tensor in one run: `largest` finite magnitude, share of `finite` numbers, and the first numbers of it."""

    largest: float
    finite: float
    sample: Array


@dataclass(frozen=True)
class Probes:
    """The probes of a graph: `outputs` are to be read, `readings` takes them apart again."""

    tensors: tuple[str, ...]
    outputs: tuple[str, str, str, str]

    def readings(self, answers: dict[str, Array]) -> dict[str, Reading]:
        """By tensor."""
        largest, finite, lengths, samples = (answers[o] for o in self.outputs)
        ends = np.cumsum(lengths).tolist()
        return {
            name: Reading(float(largest[i]), float(finite[i]), samples[ends[i] - int(lengths[i]) : ends[i]])
            for i, name in enumerate(self.tensors)
        }


def probed(graph: ir.Model, tensors: Sequence[str]) -> tuple[ir.Model, Probes]:
    """A copy of `graph` with probes at these float32 tensors of its main graph, and their account."""
    light = graph.clone()
    main = light.graph
    known = {v.name: v for n in main for v in n.outputs} | {v.name: v for v in main.inputs}
    builder = _Builder(main)
    columns = [builder.probe(known[t]) for t in tensors]
    outputs = [builder.joined(kind, [c[kind] for c in columns]) for kind in range(4)]
    main.extend(builder.nodes)
    main.sort()
    names = tuple(v.name or "" for v in outputs)
    return light, Probes(tuple(tensors), (names[0], names[1], names[2], names[3]))


class _Builder:
    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self.nodes: list[ir.Node] = []
        self._zero = self._constant("zero", np.zeros(1, np.float32))
        self._limit = self._constant("limit", np.array(np.finfo(np.float32).max, np.float32))
        self._flat = self._constant("flat", np.array([-1]))
        self._start, self._end = self._constant("start", np.array([0])), self._constant("end", np.array([_SAMPLE]))

    def probe(self, value: ir.Value) -> list[ir.Value]:
        """Largest, finite share, length of the sample, sample: each a vector."""
        import onnx_ir as ir

        # the zero in front keeps reductions of empty tensors defined
        flat = self._add("Concat", [self._zero, self._add("Reshape", [value, self._flat])], {"axis": 0})
        size = self._add("Abs", [flat])
        finite = self._add("LessOrEqual", [size, self._limit])  # false for NaN
        largest = self._add("ReduceMax", [self._add("Where", [finite, size, self._zero])], {"keepdims": 1})
        share = self._add("ReduceMean", [self._add("Cast", [finite], {"to": ir.DataType.FLOAT})], {"keepdims": 1})
        sample = self._add("Slice", [flat, self._start, self._end])
        return [largest, share, self._add("Shape", [sample]), sample]

    def joined(self, kind: int, parts: list[ir.Value]) -> ir.Value:
        whole = self._add("Concat", parts, {"axis": 0})
        whole.name = f"{_PREFIX}.{('largest', 'finite', 'lengths', 'samples')[kind]}"
        return whole

    def _add(self, kind: str, inputs: list[ir.Value], attributes: dict[str, int] | None = None) -> ir.Value:
        import onnx_ir as ir

        node = ir.node(kind, inputs, attributes or {}, name=f"{_PREFIX}.{kind}.{len(self.nodes)}")
        node.outputs[0].name = f"{node.name}.out"
        self.nodes.append(node)
        return node.outputs[0]

    def _constant(self, name: str, array: Array) -> ir.Value:
        import onnx_ir as ir

        tensor = ir.tensor(array, name=f"{_PREFIX}.{name}")
        value = ir.Value(
            name=tensor.name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype)
        )
        self._graph.register_initializer(value)
        return value

"""Inner tensors as outputs that cost nothing until they are asked for.

A session holds every output of its graph until the end of a run, also those that nobody fetches: with all 500 tensors
of a BERT as outputs that is all of them at once. So each gets a gate, a Slice that lets all of it through or nothing,
and only what is let through is held. Beside it stands the tensor's shape, so that one run with all gates shut tells how
large everything is.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

Array = npt.NDArray[np.generic]

_GATES = "onnx_lab.gates"
_ALL = np.iinfo(np.int64).max
#: Slice takes its bounds as inputs from here on.
_FIRST_OPSET = 10


@dataclass
class Gates:
    """What was built into a graph: by tensor the output that lets it through, the output with its shape, its dtype.

    `places` are positions in the gates' own input; a tensor without one is always let through. The values of `flat`
    come as vectors, since nothing was known of their rank.
    """

    outputs: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    flat: set[str] = field(default_factory=set)
    item_bytes: dict[str, int] = field(default_factory=dict)

    def feeds(self, feeds: Feeds, open_for: Collection[str]) -> Feeds:
        """`feeds` with the gates of some tensors open, and the others shut."""
        if not self.places:
            return feeds
        gates = np.zeros(len(self.places), np.int64)
        gates[[self.places[n] for n in open_for if n in self.places]] = _ALL
        return {**feeds, _GATES: gates}

    def asked(self, names: Sequence[str]) -> list[str]:
        """The outputs to fetch for these tensors."""
        return [self.outputs[n] for n in names] + [self.shapes[n] for n in names if n in self.flat]

    def values(self, names: Sequence[str], answers: dict[str, Array]) -> dict[str, Array]:
        """What was fetched, by tensor; it is taken out of `answers`."""
        found = {}
        for name in names:
            value = answers.pop(self.outputs[name])
            found[name] = value.reshape(answers[self.shapes[name]].tolist()) if name in self.flat else value
        return found

    def sizes(self, answers: Mapping[str, Array]) -> dict[str, int]:
        """Bytes of each tensor, from what was fetched of `shapes`."""
        return {n: math.prod(answers[o].tolist()) * self.item_bytes[n] for n, o in self.shapes.items()}


def gated(graph: ir.Model, names: Sequence[str]) -> tuple[ir.Model, Gates]:
    """A copy of `graph` with gates at these tensors of its main graph, and their account."""

    copy, gates = graph.clone(), Gates()
    main = copy.graph
    known = {v.name: v for node in main for v in node.outputs}
    builder = _Builder(main)
    nodes: list[ir.Node] = []
    old = main.opset_imports.get("", _FIRST_OPSET) < _FIRST_OPSET
    for name in names:
        value = known[name]
        gates.item_bytes[name] = max(1, int(value.dtype.itemsize)) if value.dtype is not None else 4
        if old or not _is_gated(value):
            gates.outputs[name] = name
            if value not in main.outputs:
                main.outputs.append(value)
            continue
        gates.places[name] = len(gates.places)
        nodes += builder.gate(value, name, gates)
    if gates.places:
        builder.finish(nodes, len(gates.places))
    return copy, gates


def _is_gated(value: ir.Value) -> bool:
    """A single number is let through always, and what is no tensor has no Slice."""
    import onnx_ir as ir

    tensor = value.type is None or isinstance(value.type, ir.TensorType)
    return tensor and (value.shape is None or len(value.shape) > 0)


class _Builder:
    def __init__(self, graph: ir.Graph) -> None:
        import onnx_ir as ir

        self._graph = graph
        self._input = ir.Value(name=_GATES, type=ir.TensorType(ir.DataType.INT64))
        self._zero = self._constant("zero", 0)
        self._flat = self._constant("flat", -1)

    def gate(self, value: ir.Value, name: str, gates: Gates) -> list[ir.Node]:
        """The nodes, in the order in which they run."""
        import onnx_ir as ir

        i = gates.places[name]
        nodes = [ir.node("Gather", [self._input, self._constant(str(i), i)])]
        through = value
        if value.shape is None:
            nodes.append(ir.node("Reshape", [value, self._flat]))
            through = nodes[-1].outputs[0]
            gates.flat.add(name)
        nodes.append(ir.node("Slice", [through, self._zero, nodes[0].outputs[0], self._zero]))
        nodes.append(ir.node("Shape", [value]))
        for kind, node in (("gate", nodes[0]), ("flat", nodes[1]), ("value", nodes[-2]), ("shape", nodes[-1])):
            node.name, node.outputs[0].name = f"{_GATES}.{kind}.{i}", f"{_GATES}.{kind}.{i}.out"
        gates.outputs[name], gates.shapes[name] = (n.outputs[0].name or "" for n in nodes[-2:])
        return nodes

    def finish(self, nodes: list[ir.Node], count: int) -> None:
        """Put all into the graph.

        The last first: ONNX Runtime orders a graph from its ends, the last node's ancestors last. So each gate runs
        right behind what it reads, which is let go then; in the other order all tensors wait for their gates.
        """
        import onnx_ir as ir

        self._input.shape = ir.Shape([count])
        self._graph.inputs.append(self._input)
        ends = [n for n in nodes if n.op_type in ("Slice", "Shape")]
        self._graph.extend([n for n in nodes if n not in ends] + ends[::-1])
        self._graph.outputs.extend(n.outputs[0] for n in ends)

    def _constant(self, word: str, number: int) -> ir.Value:
        import onnx_ir as ir

        tensor = ir.tensor(np.array([number]), name=f"{_GATES}.{word}")
        value = ir.Value(name=tensor.name, const_value=tensor, shape=ir.Shape([1]), type=ir.TensorType(tensor.dtype))
        self._graph.register_initializer(value)
        return value

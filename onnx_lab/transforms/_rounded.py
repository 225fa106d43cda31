"""A float32 graph that rounds like float16 where it is told to, so that a CPU shows what a GPU would compute.

ONNX Runtime's CPU provider has few float16 kernels: it runs a float16 file in float32 and drops the casts between
nodes, at every optimization level, so an overflow never shows. Casts that stand in the graph it leaves alone. So each
tensor gets a rounded twin, Cast to float16 and back, and a switch for each node says which of the two is read:

    half[i]                        node i computes in float16: it reads and writes rounded tensors
    reads(v, i)  = half[i] or half[producer of v] ? rounded(v) : v

What a kernel does inside, a GPU does in float32 too (products are summed in float32), except for the scores inside of
a fused attention node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onnx_lab.task import Feeds
from onnx_lab.transforms._half import LARGEST_FP16, SMALLEST_FP16

if TYPE_CHECKING:
    import onnx_ir as ir

SWITCHES = "onnx_lab.half"
#: Ends the name of a graph output before it is rounded.
EXACT = ".exact"
#: They read a tensor's shape, not its values.
_SHAPE_ONLY = frozenset({"Shape", "Size"})


@dataclass(frozen=True)
class Rounded:
    """The graph with its switches.

    Attributes
    ----------
    graph : onnx_ir.Model
        Reads one more input: the switches, bool, one for each node and two more.
    nodes : tuple of str
        Those that may become float16, in the order of the graph.
    tensors : tuple of str
        All float32 tensors that nodes put out.
    outputs : tuple of str
        The graph's own outputs.
    """

    graph: ir.Model
    nodes: tuple[str, ...]
    tensors: tuple[str, ...]
    outputs: tuple[str, ...]

    def feeds(self, feeds: Feeds, half: Collection[str] | None, *, keep_io: bool = True) -> Feeds:
        """`feeds` with the switches: `half` names the nodes that round; None is the float32 model itself."""
        chosen = set(half or ())
        on = [name in chosen for name in self.nodes]
        return {**feeds, SWITCHES: np.array([*on, half is not None, half is not None and not keep_io])}


def rounded(graph: ir.Model, float32_ops: Iterable[str]) -> Rounded:
    """Make `graph` (from `_half.prepared`) a `Rounded`, in place; nodes of `float32_ops` never round."""
    import onnx_ir as ir

    main, stay = graph.graph, set(float32_ops)
    nodes = [n for n in main if _computes(n) and n.op_type not in stay and not _has_graph(n)]
    wiring = _Wiring(graph, nodes)
    outputs = tuple(v.name or "" for v in main.outputs)
    produced = [v for n in list(main) for v in n.outputs if _is_float(v)]
    inputs = [v for v in main.inputs if _is_float(v) and not v.is_initializer()]
    weights = [v for v in main.initializers.values() if _is_float(v) and v.const_value is not None]
    for value in [*inputs, *produced]:
        wiring.round_tensor(value)
    for weight in weights:
        wiring.round_weight(weight)
    wiring.finish()
    main.sort()
    ir.external_data.load_to_model(graph)
    return Rounded(graph, tuple(n.name or "" for n in nodes), tuple(wiring.names[id(v)] for v in produced), outputs)


class _Wiring:
    """Adds the twins and the switches; every added node is put into the graph by `finish`."""

    def __init__(self, graph: ir.Model, nodes: list[ir.Node]) -> None:
        import onnx_ir as ir

        self._graph = graph.graph
        self._switch_of = {id(n): i for i, n in enumerate(nodes)}
        self._any, self._io = len(nodes), len(nodes) + 1  # what is always float16; what is so without keep_io
        self._switches = ir.Value(name=SWITCHES, shape=ir.Shape([len(nodes) + 2]), type=ir.TensorType(ir.DataType.BOOL))
        self._single: dict[int, ir.Value] = {}
        self._either: dict[tuple[int, int], ir.Value] = {}
        self._added: list[ir.Node] = []
        self.names: dict[int, str] = {}

    def round_tensor(self, value: ir.Value) -> None:
        """Let each reader of `value` read it rounded where its own switch, or that of the producer, is on."""
        own = self._own_switch(value)
        uses, is_output = list(value.uses()), value.is_graph_output()
        self.names[id(value)] = value.name or ""
        if is_output:  # the raw tensor goes on under another name
            self.names[id(value)] = f"{value.name}{EXACT}"
        twin: ir.Value | None = None
        read: dict[int | None, ir.Value] = {}
        for use in uses:
            reader = self._reader_switch(use.node)
            if own is None and reader is None:
                continue
            twin = twin or self._twin(value)
            if reader not in read:
                read[reader] = self._choose(self._both(own, reader), twin, value)
            use.node.replace_input_with(use.idx, read[reader])
        if is_output:
            self._replace_output(value, self._choose(self._both(own, self._io), twin or self._twin(value), value))

    def round_weight(self, weight: ir.Value) -> None:
        """Let each float16 node read the weight as the converter stores it."""
        twin: ir.Value | None = None
        read: dict[int, ir.Value] = {}
        for use in list(weight.uses()):
            reader = self._reader_switch(use.node)
            if reader is None or use.node.graph is not self._graph or _stays_float32(use.node, use.idx):
                continue
            twin = twin or self._stored_half(weight)
            if reader not in read:
                read[reader] = self._choose(self._both(reader, None), twin, weight)
            use.node.replace_input_with(use.idx, read[reader])

    def finish(self) -> None:
        self._graph.inputs.append(self._switches)
        self._graph.extend(self._added)

    def _own_switch(self, value: ir.Value) -> int | None:
        producer = value.producer()
        if producer is None:
            return self._io if value.is_graph_input() else None
        return self._any if _has_graph(producer) else self._switch_of.get(id(producer))

    def _reader_switch(self, node: ir.Node) -> int | None:
        if node.graph is not self._graph or _has_graph(node):
            return self._any
        return self._switch_of.get(id(node))

    def _both(self, a: int | None, b: int | None) -> ir.Value:
        """The switch that is on when either is."""
        given = sorted({i for i in (a, b) if i is not None})
        if len(given) == 1:
            return self._one(given[0])
        key = (given[0], given[1])
        if key not in self._either:
            self._either[key] = self._node("Or", [self._one(given[0]), self._one(given[1])])
        return self._either[key]

    def _one(self, i: int) -> ir.Value:
        if i not in self._single:
            self._single[i] = self._node("Gather", [self._switches, self._constant(f"{SWITCHES}.{i}", np.array(i))])
        return self._single[i]

    def _twin(self, value: ir.Value) -> ir.Value:
        import onnx_ir as ir

        half = self._node("Cast", [value], {"to": ir.DataType.FLOAT16})
        return self._node("Cast", [half], {"to": ir.DataType.FLOAT})

    def _stored_half(self, weight: ir.Value) -> ir.Value:
        import onnx_ir as ir

        assert weight.const_value is not None
        stored = self._constant(f"{weight.name}.half", as_half(weight.const_value.numpy()))
        return self._node("Cast", [stored], {"to": ir.DataType.FLOAT})

    def _choose(self, switch: ir.Value, twin: ir.Value, value: ir.Value) -> ir.Value:
        chosen = self._node("Where", [switch, twin, value])
        chosen.type, chosen.shape = value.type, value.shape
        return chosen

    def _replace_output(self, value: ir.Value, chosen: ir.Value) -> None:
        name, value.name = value.name, f"{value.name}{EXACT}"
        chosen.name = name
        for i, output in enumerate(self._graph.outputs):
            if output is value:
                self._graph.outputs[i] = chosen

    def _node(self, kind: str, inputs: list[ir.Value], attributes: dict[str, int] | None = None) -> ir.Value:
        import onnx_ir as ir

        node = ir.node(kind, inputs, attributes or {}, name=f"{SWITCHES}.{kind}.{len(self._added)}")
        node.outputs[0].name = f"{node.name}.out"
        self._added.append(node)
        return node.outputs[0]

    def _constant(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        import onnx_ir as ir

        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
        self._graph.register_initializer(value)
        return value


def as_half(weight: npt.NDArray[np.generic]) -> npt.NDArray[np.float16]:
    """A weight as the converters store it: what lies beyond float16 is clamped, what is too small becomes the smallest.

    Examples
    --------
    >>> as_half(np.array([1e9, -np.inf, 1e-12, 0], np.float32)).tolist()
    [65504.0, -inf, 5.960464477539063e-08, 0.0]
    """
    with np.errstate(over="ignore", under="ignore"):
        half = weight.astype(np.float16)
    half = np.where(np.isinf(half) & np.isfinite(weight), np.copysign(LARGEST_FP16, weight), half)
    return np.where((half == 0) & (weight != 0), np.copysign(SMALLEST_FP16, weight), half).astype(np.float16)


def _is_float(value: ir.Value | None) -> bool:
    import onnx_ir as ir

    return value is not None and isinstance(value.type, ir.TensorType) and value.dtype == ir.DataType.FLOAT


def _computes(node: ir.Node) -> bool:
    return node.op_type not in _SHAPE_ONLY and any(map(_is_float, (*node.inputs, *node.outputs)))


def _has_graph(node: ir.Node) -> bool:
    import onnx_ir as ir

    return any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values())


def _stays_float32(node: ir.Node, i: int) -> bool:
    """Inputs that the converter leaves float32 in a float16 node: a Resize's scales."""
    from onnxruntime.transformers.float16 import ALWAYS_FLOAT_INPUTS

    return i in ALWAYS_FLOAT_INPUTS.get(node.op_type, ())

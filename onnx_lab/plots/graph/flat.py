"""Nodes and tensors of one file as plain data: what is drawn, and what the panel beside it says of a node.

Read from the protobuf itself: no engine, no weights, and a file that is wrong in places is still shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from onnx_lab._metadata import NAME_SCOPES_KEY, module_named
from onnx_lab.errors import BadModel
from onnx_lab.model import Model

if TYPE_CHECKING:
    import onnx

#: What exporters call the scope of nodes that belong to no module.
_NO_MODULE = "_empty_nn_module_stack_from_metadata_hook"


@dataclass(slots=True)
class Node:
    """One box that holds no others: an operator, or an input or output of the graph.

    `kind` is "node", "input" or "output"; `status` what a transform did to it, "" without a second model; `made_of`
    says which nodes of the first model it stands for. `place` orders nodes as they are computed.
    """

    name: str
    op: str
    module: str = ""
    kind: str = "node"
    status: str = ""
    made_of: tuple[str, ...] = ()
    detail: str = ""
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    origin: onnx.NodeProto | None = None
    place: float = 0.0


@dataclass(slots=True)
class Tensor:
    """What goes from one node to others; `maker` is -1 for a weight, whose bytes are then known."""

    name: str
    maker: int = -1
    readers: list[int] = field(default_factory=list)
    type: str = ""
    size_bytes: int = 0


@dataclass
class Flat:
    """A graph without any grouping; tensors and nodes refer to each other by their places in the lists."""

    name: str
    nodes: list[Node] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)

    def add(self, node: Node, made: Iterable[int] = (), read: Iterable[int] = ()) -> int:
        """Append a node that makes and reads these tensors; its place in the list."""
        number = len(self.nodes)
        node.place = node.place or float(number)
        node.outputs, node.inputs = list(made), list(read)
        for t in node.outputs:
            self.tensors[t].maker = number
        for t in dict.fromkeys(node.inputs):
            self.tensors[t].readers.append(number)
        self.nodes.append(node)
        return number


def flatten(m: Model) -> Flat:
    """The main graph of a model. Constants are weights here, not nodes: the node that reads one says so.

    Raises
    ------
    BadModel
        When the file is gone, was edited, or is not a model.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> [n.op for n in flatten(lab.samples.tiny()).nodes]
    ['input', 'MatMul', 'Add', 'Relu', 'Identity', 'MatMul', 'Add', 'output']
    """
    from onnx_lab._onnxfile import read_proto

    m.check_unchanged()
    graph = read_proto(m.path).graph
    try:
        return _flattened(graph, m.name)
    except (TypeError, ValueError, OverflowError) as e:  # names that are no text, sizes that are no sizes
        raise BadModel(f"{m.path} holds what is no graph: {e}", do="export or copy it again") from None


def _flattened(graph: onnx.GraphProto, name: str) -> Flat:
    flat = Flat(name)
    at: dict[str, int] = {}

    def tensors(names: Iterable[str]) -> Iterator[int]:
        for name in names:
            if isinstance(name, bytes):  # protobuf's way to say that it is not UTF-8
                raise TypeError(f"a name that is no text, {name!r:.40}")
            if name not in at:
                at[name] = len(flat.tensors)
                flat.tensors.append(Tensor(name))
            yield at[name]

    weights = _weights(graph)
    for v in graph.input:
        if v.name not in weights:
            flat.add(Node(v.name, "input", kind="input"), made=tensors([v.name]))
    shown = [n for n in graph.node if n.op_type != "Constant"]
    for node, key in zip(shown, keys(shown), strict=True):
        read = [*filter(None, node.input), *_captured(node)]
        flat.add(Node(key, node.op_type, _module(node), origin=node), tensors(filter(None, node.output)), tensors(read))
    for v in graph.output:
        flat.add(Node(v.name, "output", kind="output"), read=tensors([v.name]))
    _describe(flat, at, graph, weights)
    return flat


def keys(nodes: Sequence[onnx.NodeProto]) -> list[str]:
    """A name for each node that no other has: its own where it is, else that of its first output."""
    seen = Counter(n.name for n in nodes)
    for n in nodes:
        if isinstance(n.name, bytes) or isinstance(n.op_type, bytes):
            raise TypeError(f"a node whose name is no text, {n.name!r:.40}")
    names = [n.name if n.name and seen[n.name] == 1 else next(iter(n.output), "") for n in nodes]
    return [name or f"node {i}" for i, name in enumerate(names)]


def _describe(flat: Flat, at: dict[str, int], graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto]) -> None:
    """Types of tensors, and the sizes of weights."""
    for v in (*graph.value_info, *graph.input, *graph.output):
        if v.name in at and v.type.HasField("tensor_type"):
            spec = v.type.tensor_type
            dims = ", ".join(
                d.dim_param or (str(d.dim_value) if d.HasField("dim_value") else "?") for d in spec.shape.dim
            )
            name = dtype_name(spec.elem_type)
            flat.tensors[at[v.name]].type = f"{name}[{dims}]" if spec.HasField("shape") else name
    for name, t in weights.items():
        if name in at and flat.tensors[at[name]].maker < 0:
            tensor = flat.tensors[at[name]]
            tensor.type = f"{dtype_name(t.data_type)}{list(t.dims)}"
            tensor.size_bytes = prod(t.dims) * _bits(t.data_type) // 8


def _weights(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Initializers, and what Constant nodes hold; a constant that is no tensor has no shape."""
    import onnx

    found = {t.name: t for t in graph.initializer}
    for n in graph.node:
        if n.op_type == "Constant" and n.output:
            own = next((a.t for a in n.attribute if a.HasField("t")), None)
            found[n.output[0]] = own or onnx.TensorProto()
    return found


def _captured(node: onnx.NodeProto) -> list[str]:
    """What the graphs inside a node read from around them."""
    found: dict[str, None] = {}
    for a in node.attribute:
        for g in [*([a.g] if a.HasField("g") else []), *a.graphs]:
            own = {v.name for v in g.input} | {t.name for t in g.initializer} | {o for n in g.node for o in n.output}
            read = [i for n in g.node for i in (*n.input, *_captured(n))] + [v.name for v in g.output]
            found |= dict.fromkeys(i for i in read if i and i not in own)
    return list(found)


def _module(node: onnx.NodeProto) -> str:
    scopes = next((p.value for p in node.metadata_props if p.key == NAME_SCOPES_KEY), "")
    module = module_named(node.name, scopes)
    return "" if module == _NO_MODULE else module


def dtype_name(number: int) -> str:
    """``float32`` for ONNX's FLOAT; "" for 0."""
    import onnx

    if not number:
        return ""
    try:
        name = str(onnx.TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"type{number}"
    return {"float": "float32", "double": "float64"}.get(name, name)


def _bits(number: int) -> int:
    """Of one number of a weight."""
    import onnx

    name = dtype_name(number)
    if "4" in name and name.rstrip("e2m1fn").endswith("4"):
        return 4
    try:
        return int(onnx.helper.tensor_dtype_to_np_dtype(number).itemsize) * 8
    except (KeyError, ValueError):
        return 0

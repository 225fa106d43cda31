"""One node, as a person asks for it: attributes with their types, inputs told apart, results, neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab._metadata import module_of, operator_of
from onnx_lab.card import Card, Shown, Table
from onnx_lab.measure._static_work import node_label, subgraphs_of
from onnx_lab.measure._weights import constant_of, dtype_of, tensor_in
from onnx_lab.runtime.shapes import Shape, Shapes

if TYPE_CHECKING:
    import onnx_ir as ir

#: Tensors of more numbers are told by their type alone.
_FEW = 8
_VALUE_SHOWN = 80
_NEIGHBOURS_SHOWN = 4


@dataclass(frozen=True)
class Attribute:
    """An attribute: its type as ONNX writes it, and its value as plain JSON; a tensor of many numbers by its type."""

    name: str
    type: str
    value: Any


@dataclass(frozen=True)
class Operand:
    """An input or a result of a node.

    Attributes
    ----------
    kind : str
        ``"weight"`` (a constant of the file), ``"activation"`` (what another node makes), ``"input"`` (of the graph),
        ``"omitted"``; of a result ``"result"``, or ``"output"`` where the graph gives it away.
    shape : tuple or None
        Names and None stand for sizes that are not fixed; None where nothing is known.
    neighbours : tuple of str
        Who makes an input; who uses a result.
    value : list or None
        The numbers of a small weight, where they are in the file itself.
    """

    name: str
    kind: str
    dtype: str = ""
    shape: Shape | None = None
    neighbours: tuple[str, ...] = ()
    value: Any = None

    @property
    def called(self) -> str:
        """Its name, or that it is left out."""
        return self.name or "(omitted)"

    @property
    def said(self) -> str:
        """Its type, of one that is there."""
        return "" if self.kind == "omitted" else str(self)

    def __str__(self) -> str:
        dims = "" if self.shape is None else "[" + ", ".join("?" if d is None else str(d) for d in self.shape) + "]"
        return f"{self.dtype or '?'}{dims}"


@dataclass(frozen=True, repr=False)
class NodeFacts(Shown):
    """One node of a file.

    Attributes
    ----------
    name : str
        "" where the exporter gave it none.
    operator : str
        ``MatMul``; of another domain than ONNX's own ``com.microsoft::Attention``.
    place : int
        Its number in its graph, from 0.
    graph : str
        "" for the main graph, else the node and attribute that hold it, or the function.
    module : str
        The user's own module.
    """

    name: str
    operator: str
    place: int
    graph: str
    module: str
    attributes: tuple[Attribute, ...]
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]

    @property
    def title(self) -> str:
        """The name; of a node without one its operator and number."""
        return self.name or f"{self.operator} number {self.place}"

    def _card(self) -> Card:
        rows = [("operator", self.operator), ("module", self.module), ("in", self.graph), ("number", str(self.place))]
        attributes = tuple((a.name, a.type, cut(a.value)) for a in self.attributes)
        inputs = tuple((o.called, o.kind, o.said, _made_by(o)) for o in self.inputs)
        outputs = tuple((o.called, o.kind, o.said, _listed(o.neighbours)) for o in self.outputs)
        tables = [
            Table(("attribute", "type", "value"), attributes),
            Table(("input", "what", "type", "made by"), inputs),
            Table(("output", "what", "type", "used by"), outputs),
        ]
        return Card(self.title, [(k, v) for k, v in rows if v], [t for t in tables if t.rows])


def _made_by(operand: Operand) -> str:
    return cut(operand.value, 40) if operand.value is not None else _listed(operand.neighbours)


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _NEIGHBOURS_SHOWN
    return ", ".join(names[:_NEIGHBOURS_SHOWN]) + f" and {rest} more" * (rest > 0)


def cut(value: Any, limit: int = _VALUE_SHOWN) -> str:
    """A value as text, long ones cut.

    Examples
    --------
    >>> cut([0, 2, 1, 3]), cut("x" * 100, 5)
    ('[0, 2, 1, 3]', 'xxxx…')
    """
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def all_nodes(model: ir.Model) -> Iterator[tuple[str, int, ir.Node]]:
    """Every node with the graph it lies in and its number there: main graph, sub-graphs, functions."""
    yield from _in_graph("", model.graph)
    for function in model.functions.values():
        yield from _in_graph(f"function {function.domain}::{function.name}", function)


def _in_graph(graph: str, nodes: ir.Graph | ir.Function) -> Iterator[tuple[str, int, ir.Node]]:
    for place, node in enumerate(nodes):
        yield graph, place, node
        for name, attribute in node.attributes.items():
            for inner in subgraphs_of(attribute):
                yield from _in_graph(f"{node_label(node)}/{name}", inner)


def facts_of(graph: str, place: int, node: ir.Node, shapes: Shapes) -> NodeFacts:
    """What is known of a node."""
    return NodeFacts(
        node.name or "",
        operator_of(node),
        place,
        graph,
        module_of(node),
        tuple(Attribute(a.name, a.type.name, _attribute_value(a)) for a in node.attributes.values()),
        tuple(_input(v, shapes) for v in node.inputs),
        tuple(_result(v, shapes) for v in node.outputs),
    )


def _input(value: ir.Value | None, shapes: Shapes) -> Operand:
    if value is None or not value.name:
        return Operand("", "omitted")
    tensor, maker = value.const_value, value.producer()
    if maker is not None:
        tensor = constant_of(maker)
    if tensor is not None:
        dims = tuple(int(d) for d in tensor.shape.numpy())
        return Operand(value.name, "weight", dtype_of(tensor), dims, (), _numbers(tensor))
    dtype, shape = _typed(value, shapes)
    made = (node_label(maker),) if maker is not None else ()
    return Operand(value.name, "activation" if maker is not None else "input", dtype, shape, made)


def _result(value: ir.Value, shapes: Shapes) -> Operand:
    dtype, shape = _typed(value, shapes)
    users = tuple(dict.fromkeys(node_label(n) for n in value.consumers()))
    kind = "output" if value.is_graph_output() else "result" if value.name else "omitted"
    return Operand(value.name or "", kind, dtype, shape, users)


def _typed(value: ir.Value, shapes: Shapes) -> tuple[str, Shape | None]:
    """What the inference found, else what is written in the file."""
    name = value.name or ""
    dtype, shape = shapes.dtype(name), shapes.shape(name)
    if not dtype and value.dtype is not None:
        written = value.dtype.name.lower()
        dtype = {"float": "float32", "double": "float64"}.get(written, written)
    if shape is None and value.shape is not None:
        shape = tuple(d if isinstance(d, int) else d.value for d in value.shape)
    return dtype, shape


def _attribute_value(attribute: ir.Attr) -> Any:
    import onnx_ir as ir

    if attribute.is_ref():
        return f"the function's {attribute.ref_attr_name}"
    if attribute.type == ir.AttributeType.TENSOR:
        tensor = tensor_in(attribute)
        if tensor is None:
            return "nothing"
        kind = f"{dtype_of(tensor)}{[int(d) for d in tensor.shape.numpy()]}"
        numbers = _numbers(tensor)
        return kind if numbers is None else f"{kind} {numbers}"
    if inner := subgraphs_of(attribute):
        return ", ".join(f"a graph of {len(g)} nodes" for g in inner)
    return _plain(attribute.value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, int | float | str) else str(value)


def _numbers(tensor: ir.TensorProtocol) -> Any:
    """The numbers of a small tensor that lie in the file itself; None for all others: nothing else is read."""
    import onnx_ir as ir

    if isinstance(tensor, ir.ExternalTensor) or math.prod(tensor.shape.numpy()) > _FEW:
        return None
    try:
        return tensor.numpy().tolist()
    except (ValueError, TypeError, RuntimeError):  # a broken tensor: its type is all that is known
        return None

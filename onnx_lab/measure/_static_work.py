"""What each node of a file costs before it ever runs: multiply-accumulates, weights, and the bytes of its results."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx_lab._metadata import module_of, operator_of
from onnx_lab.measure._macs import node_macs
from onnx_lab.model import GLUE
from onnx_lab.runtime.shapes import Shapes

if TYPE_CHECKING:
    import onnx_ir as ir

_BYTES = {"bool": 1, "complex64": 8, "complex128": 16}


@dataclass(frozen=True)
class NodeWork:
    """One node of the file, sub-graphs included.

    `macs` are the multiply-accumulates of one run, None where they could not be told; a node in the body of a loop
    counts once. `weight_bytes` are those of weights that no node before it uses. `output_bytes` is None where a shape
    is not known.
    """

    name: str
    operator: str
    module: str
    macs: int | None
    weight_bytes: int
    output_bytes: int | None


@dataclass(frozen=True)
class Activations:
    """Memory of what is computed on the way, as an estimate: no buffer is used in place of its input.

    Attributes
    ----------
    peak_bytes : int
        The most that is alive at once, in the order of the file: from where a tensor is made to its last use. Inputs
        of the graph are its caller's and stay; its outputs stay from where they are made.
    peak_node : str
        The node that runs at that moment.
    total_bytes : int
        All results of all nodes together.
    tensors, unknown : int
        How many there are, and how many of them have a size that is not known and count nothing.
    """

    peak_bytes: int
    peak_node: str
    total_bytes: int
    tensors: int
    unknown: int


def work_of(nodes: Iterable[ir.Node], weight_bytes: Counter[int], shapes: Shapes) -> tuple[NodeWork, ...]:
    """The work of all `nodes`; `weight_bytes` is by ``id(node)``."""
    return tuple(
        NodeWork(
            node_label(n),
            operator_of(n),
            module_of(n),
            node_macs(n, shapes.fixed),
            weight_bytes[id(n)],
            _sum([tensor_bytes(shapes, v.name or "") for v in n.outputs]),
        )
        for n in nodes
    )


def activations_of(graph: ir.Graph, shapes: Shapes) -> Activations:
    """Peak and sum of what the main graph computes."""
    nodes = [n for n in graph if n.op_type != "Constant"]
    last: dict[int, int] = {}
    for place, node in enumerate(nodes):
        for value in (*node.inputs, *_captured(node)):
            if value is not None:
                last[id(value)] = place
    stay = {id(v) for v in (*graph.inputs, *graph.outputs)}
    alive = {id(v): tensor_bytes(shapes, v.name or "") or 0 for v in graph.inputs if v.name not in graph.initializers}
    ends: dict[int, list[int]] = {}
    for key, place in last.items():
        ends.setdefault(place, []).append(key)
    now, peak, where, total, tensors, unknown = sum(alive.values()), sum(alive.values()), "", 0, 0, 0
    for place, node in enumerate(nodes):
        for value in (v for v in node.outputs if v.name):
            size = tensor_bytes(shapes, value.name or "")
            tensors, unknown, total = tensors + 1, unknown + (size is None), total + (size or 0)
            alive[id(value)] = size or 0
            now += size or 0
        if now > peak:
            peak, where = now, node_label(node)
        unused = [id(v) for v in node.outputs if id(v) not in last]
        now -= sum(alive.pop(v, 0) for v in (*ends.get(place, ()), *unused) if v not in stay)
    return Activations(peak, where, total, tensors, unknown)


def _captured(node: ir.Node) -> Iterable[ir.Value]:
    """What the sub-graphs of a node take from outside."""
    for inner in node.attributes.values():
        for graph in subgraphs_of(inner):
            for n in graph.all_nodes():
                yield from (v for v in n.inputs if v is not None)


def subgraphs_of(attribute: ir.Attr) -> Sequence[ir.Graph]:
    """The graphs that an attribute holds: the body of a loop, the branches of an If."""
    import onnx_ir as ir

    if attribute.is_ref():
        return ()
    if attribute.type == ir.AttributeType.GRAPH:
        return (attribute.as_graph(),)
    return tuple(attribute.as_graphs()) if attribute.type == ir.AttributeType.GRAPHS else ()


def node_label(node: ir.Node) -> str:
    """A node's name; one without is called by its first result."""
    return node.name or next((f"→ {v.name}" for v in node.outputs if v.name), node.op_type)


def is_glue(operator: str) -> bool:
    """Whether an operator, as `operator_of` writes it, only moves or reshapes data."""
    return operator.rsplit("::", 1)[-1] in GLUE


def tensor_bytes(shapes: Shapes, name: str) -> int | None:
    """Bytes of a tensor, None where its size is not known."""
    dims = shapes.fixed(name)
    each = bytes_each(shapes.dtype(name))
    return math.ceil(math.prod(dims) * each) if dims is not None and each else None


def bytes_each(dtype: str) -> float:
    """Bytes of one number, told from the dtype's name; 0 where it has no fixed size.

    Examples
    --------
    >>> bytes_each("float16"), bytes_each("uint4"), bytes_each("float8e4m3fn"), bytes_each("string")
    (2.0, 0.5, 1.0, 0)
    """
    number = re.match(r"(?:b?float|u?int)(16|32|64|8|4|2)", dtype)
    return _BYTES.get(dtype, int(number[1]) / 8 if number else 0)


def _sum(sizes: Sequence[int | None]) -> int | None:
    known = [s for s in sizes if s is not None]
    return sum(known) if len(known) == len(sizes) else None

"""Parts of a graph between named tensors: found by walking back, cut out as graphs of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx_ir as ir

Array = npt.NDArray[np.generic]


def frontier(model: ir.Model, end: str, stops: Collection[str]) -> list[str]:
    """The tensors nearest to `end`, walking back, that are in `stops` or are inputs of the graph."""
    values = {v.name: v for node in model.graph for v in node.outputs}
    inputs = {v.name for v in model.graph.inputs if not v.is_initializer()}
    found: dict[str, None] = {}
    seen: set[ir.Node] = set()
    ahead = [values[end].producer()]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for value in reads(node):
            if value.name in inputs or value.name in stops:
                found[value.name or ""] = None
            else:
                ahead.append(value.producer())
    return list(found)


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """What a node reads, what the graphs inside of it read from around them included."""
    import onnx_ir as ir

    yield from (v for v in node.inputs if v is not None)
    for attribute in node.attributes.values():
        graphs = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else []
        graphs += list(attribute.value) if attribute.type == ir.AttributeType.GRAPHS else []
        for graph in graphs:
            own = {v for n in graph.all_nodes() for v in n.outputs}
            for inner in graph.all_nodes():
                yield from (v for v in inner.inputs if v is not None and v not in own and v.graph is node.graph)


def cut(model: ir.Model, inputs: Mapping[str, Array], output: str) -> ir.Model:
    """The part of `model` from `inputs` to `output`; what was not known of its inputs is taken from their values."""
    import onnx_ir as ir

    graph = ir.convenience.extract(model.graph, list(inputs), [output])
    for value in graph.inputs:
        array = inputs[value.name or ""]
        value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
        if value.shape is None or len(value.shape) != array.ndim:
            value.shape = ir.Shape(array.shape)
    part = ir.Model(graph, ir_version=model.ir_version, functions=list(model.functions.values()))
    part.graph.opset_imports.update(model.opset_imports)
    return part

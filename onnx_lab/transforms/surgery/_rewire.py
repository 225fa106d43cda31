"""Wires: one value takes the place of another, in sub-graphs and at the model's outputs too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


def used_outputs(node: ir.Node) -> list[ir.Value]:
    """The outputs that somebody reads."""
    return [v for v in node.outputs if v.uses() or v.is_graph_output()]


def is_constant(value: ir.Value) -> bool:
    """Whether a value is a weight that no caller overrides, or what a Constant node makes.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> node = lab.samples.tiny().to_ir().graph[0]
    >>> [is_constant(v) for v in node.inputs]
    [False, True]
    """
    producer = value.producer()
    if producer is not None:
        return producer.op_type == "Constant" and producer.domain in ("", "ai.onnx")
    return value.is_initializer() and not value.is_graph_input()


def stand_in(node: ir.Node, old: ir.Value, new: ir.Value) -> None:
    """Who reads `old` reads `new`; where `old` is an output, it keeps its name.

    `new` takes over the name when it is free to; an input, a weight or another output gets an Identity behind it.
    """
    import onnx_ir as ir

    if not old.is_graph_output():
        old.replace_all_uses_with(new)
        return
    held = new.is_graph_output() or new.is_graph_input() or new.is_initializer() or _home(new) is not node.graph
    if held:
        assert node.graph is not None
        copy = ir.node("Identity", [new], name=f"{node.name}.identity")
        copy.metadata_props.update(node.metadata_props)
        copy.outputs[0].shape, copy.outputs[0].type = new.shape, new.type
        node.graph.insert_before(node, copy)
        new = copy.outputs[0]
    name, old.name = old.name, f"{old.name}.before"
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    new.name = name


def _home(value: ir.Value) -> ir.Graph | ir.Function | None:
    producer = value.producer()
    return producer.graph if producer is not None else None


def drop_unread(values: Iterable[ir.Value]) -> int:
    """Remove nodes and weights that made `values` and nothing else that is read; returns how many nodes."""
    count, todo = 0, list(values)
    while todo:
        value = todo.pop()
        if value.uses() or value.is_graph_output() or value.is_graph_input():
            continue
        node = value.producer()
        if node is None:
            if value.is_initializer() and value.graph is not None:
                value.graph.initializers.pop(str(value.name), None)
        elif node.graph is not None and not used_outputs(node):
            todo += [v for v in node.inputs if v is not None]
            node.graph.remove(node, safe=True)
            count += 1
    return count

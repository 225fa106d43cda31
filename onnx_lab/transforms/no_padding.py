"""No mask, where the caller states that every token is real: what is added to the scores is then nothing at all.

That is not read off the graph but computed: the part that makes the mask is run by itself, with every mask input full
of ones, at lengths up to 2048. Only a mask that is zero everywhere goes; a causal one, or a window, stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab._blocks import is_attention_softmax
from onnx_lab.errors import OnnxLabError
from onnx_lab.feeds import random_feeds
from onnx_lab.produce import write_ir
from onnx_lab.runtime.client import Worker

if TYPE_CHECKING:
    import onnx_ir as ir

#: (batch, length) at which the mask is computed; a model that is fixed has one size of its own.
SIZES = ((2, 5), (1, 128), (1, 512), (1, 2048))


def drop_masks(model: ir.Model) -> int:
    """Remove, in place, the masks of attention that are zero without padding; return from how many blocks."""
    return _drop(model, list(_users(model)))


def drop_idle_masks(model: ir.Model) -> int:
    """Remove masks that nobody can set, of a fixed size and zero: models for pictures have them. Always exact."""
    return _drop(model, [u for u in _users(model) if _of_fixed_size(u[2]) and not _values_read(_above(u[2]), u[2])])


def _drop(model: ir.Model, users: list[tuple[ir.Node, int, ir.Value]]) -> int:
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    gone = {id(mask) for mask in {id(m): m for _, _, m in users}.values() if not _needed(model, mask)}
    count = 0
    for node, position, mask in users:
        if id(mask) in gone:
            _without(model.graph, node, position)
            count += 1
    if count:
        RemoveUnusedNodesPass()(model)
    return count


def why_not(model: ir.Model) -> str:
    """Why no mask went."""
    users = list(_users(model))
    if not users:
        return "no attention block adds a mask"
    return next((why for _, _, mask in users if (why := _needed(model, mask))), "")


def _users(model: ir.Model) -> Iterator[tuple[ir.Node, int, ir.Value]]:
    """(node, input, mask): where a mask is added to the scores of attention."""
    for node in model.graph:
        inputs = node.inputs
        if node.op_type == "MultiHeadAttention" and len(inputs) > 5 and inputs[5] is not None:
            yield node, 5, inputs[5]
        elif (
            node.op_type == "Attention" and node.domain in ("", "ai.onnx") and len(inputs) > 3 and inputs[3] is not None
        ):
            yield node, 3, inputs[3]
        elif is_attention_softmax(node) and inputs[0] is not None:
            add = inputs[0].producer()
            if add is None or add.op_type != "Add" or len(inputs[0].uses()) != 1:
                continue
            for i in (1, 0):  # the scores come from a product of activations, the mask from the inputs
                mask, scores = add.inputs[i], add.inputs[1 - i]
                if mask is not None and scores is not None and _reads(scores, stop_at_products=True) is None:
                    yield add, i, mask
                    break


def _of_fixed_size(mask: ir.Value) -> bool:
    return mask.shape is not None and all(isinstance(d, int) for d in list(mask.shape)[-2:])


def _above(mask: ir.Value) -> list[ir.Node]:
    return _reads(mask) or []


def _without(graph: ir.Graph, node: ir.Node, position: int) -> None:
    import onnx_ir as ir

    if node.op_type == "Add":
        scores = node.inputs[1 - position]
        assert scores is not None
        ir.convenience.replace_all_uses_with(node.outputs[0], scores)
        graph.remove(node, safe=True)
    else:
        node.replace_input_with(position, None)


def _reads(value: ir.Value, *, stop_at_products: bool = False) -> list[ir.Node] | None:
    """All nodes above `value`, or None when a product of matrices is among them and those are not wanted."""
    found: dict[int, ir.Node] = {}
    todo = [value.producer()]
    while todo:
        node = todo.pop()
        if node is None or id(node) in found:
            continue
        if stop_at_products and node.op_type in ("MatMul", "FusedMatMul", "Einsum"):
            return None
        found[id(node)] = node
        todo += [v.producer() for v in node.inputs if v is not None]
    return list(found.values())


def _needed(model: ir.Model, mask: ir.Value) -> str:
    """Why this mask has to stay, or "" when it is zero wherever it was computed."""
    import onnx_ir as ir

    above = _above(mask)
    if any(n.op_type in ("MatMul", "LayerNormalization") for n in above):
        return f"{mask.name} is computed from the states of tokens (a position bias)"
    values = _values_read(above, mask)
    if others := [v.name for v in values if "mask" not in (v.name or "").lower()]:
        return f"{mask.name} is computed from {', '.join(map(str, others))} and not from a mask alone"
    tensor = ir.convenience.get_const_tensor(mask)
    if tensor is not None:
        return "" if _is_idle(tensor.numpy()) else f"{mask.name} is a constant that is not zero"
    return _nonzero_somewhere(model, mask)


def _is_idle(mask: Any) -> bool:
    """Nothing is added; of a mask of truths: all are attended to."""
    return bool(mask.all()) if mask.dtype == bool else not mask.any()


def _values_read(above: list[ir.Node], mask: ir.Value) -> list[ir.Value]:
    """Graph inputs whose values, not only their shapes, the mask depends on."""
    read = {v.name: v for n in above if n.op_type != "Shape" for v in n.inputs if v is not None and v.is_graph_input()}
    read.update({mask.name: mask} if mask.is_graph_input() else {})
    return [v for v in read.values() if not v.is_initializer()]


def _nonzero_somewhere(model: ir.Model, mask: ir.Value) -> str:
    tried = 0
    with workspace.scratch() as folder:
        write_ir(_part(model, mask), folder / "mask.onnx")
        m = workspace.open_model(folder / "mask.onnx")
        try:
            with Worker.for_model(m) as worker:
                for batch, length in SIZES:
                    feeds: Any = random_feeds(m.inputs, batch=batch, seq=length)
                    (value,) = worker.run(feeds).values()
                    tried = length
                    if not _is_idle(value):
                        return f"{mask.name} is not zero without padding: it is causal, a window, or a bias"
        except OnnxLabError:
            pass  # longer than a table of the model is, or not to be computed by itself
    return "" if tried else f"{mask.name} cannot be computed by itself"


def _part(model: ir.Model, mask: ir.Value) -> ir.Model:
    """The part of the graph that makes `mask`, as a model with the same inputs."""
    import onnx_ir as ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    part = model.clone()
    known = {o.name: o for n in part.graph for o in n.outputs}
    kept = known.get(mask.name) or next(v for v in part.graph.inputs if v.name == mask.name)
    part.graph.outputs.clear()
    if kept.is_graph_input():  # an engine wants an output of its own
        node = ir.node("Identity", [kept], name="mask.itself")
        node.outputs[0].name, node.outputs[0].dtype = "mask.itself_out", kept.dtype or ir.DataType.FLOAT
        part.graph.append(node)
        kept = node.outputs[0]
    kept.dtype = kept.dtype or mask.dtype or ir.DataType.FLOAT
    part.graph.outputs.append(kept)
    RemoveUnusedNodesPass()(part)
    for value in part.graph.outputs:
        value.shape = None
    unused = [v for v in part.graph.inputs if not v.uses()]
    for value in unused:
        part.graph.inputs.remove(value)
    return part

"""Attention whose projections run sequence first, written batch first: ``nn.MultiheadAttention`` and open_clip.

There x is turned to ``[sequence, batch, hidden]``, projected in one product, cut and turned four times more, and the
result is turned back. Batch first it is three products, as every other family writes it, and fusions know the form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab.transforms._layout import Sizes, concrete, moved, numbered, two_sizes
from onnx_lab.transforms._tidy import initializer, tidy

if TYPE_CHECKING:
    import onnx_ir as ir

_FLIP = [1, 0, 2]
#: Elements that are numbered at most: 400 MB.
_LARGEST = 50_000_000


@dataclass(frozen=True)
class _Linear:
    """``x @ weight + bias``: its last node, what it reads, and its constants."""

    last: ir.Node
    source: ir.Value
    weight: Any
    bias: Any

    @property
    def out(self) -> ir.Value:
        """The result."""
        return self.last.outputs[0]


@dataclass(frozen=True)
class _Head:
    """A value ``[batch, heads, sequence, size]`` (or its last two axes turned) that is some columns of a projection."""

    value: ir.Value
    first: int
    heads: int
    size: int
    turned: bool


def batch_first(model: ir.Model) -> int:
    """Rewrite, in place, what is proven to be one of the two forms; return how many projections were turned."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    count = 0
    for node in list(model.graph):
        if node.graph is None or not node.outputs:
            continue
        if (linear := _linear(node)) is None:
            continue
        done = _turn_projection(model.graph, linear) or _turn_result(model.graph, linear)
        count += int(done)
    if count:
        RemoveUnusedNodesPass()(model)
        tidy(model)  # shapes that were computed from what was turned can now be told
    return count


def _linear(node: ir.Node) -> _Linear | None:
    """The product that ends in `node`, with constant weights; an Add behind it is part of it."""
    product, bias = node, None
    if node.op_type == "MatMul" and [c.op_type for c in node.outputs[0].consumers()] == ["Add"]:
        adds = next(iter(node.outputs[0].consumers()))
        if _array(adds.inputs[1]) is not None and adds.inputs[0] is node.outputs[0]:
            return None  # the Add is looked at when it is its turn
    if node.op_type == "Add":
        bias = _array(node.inputs[1])
        inner = node.inputs[0].producer() if node.inputs[0] is not None else None
        if bias is None or bias.ndim != 1 or inner is None or len(inner.outputs[0].uses()) != 1:
            return None
        product = inner
    if product.op_type not in ("MatMul", "Gemm") or product.inputs[0] is None:
        return None
    weight = _array(product.inputs[1])
    if weight is None or weight.ndim != 2:
        return None
    if product.op_type == "Gemm":
        plain = product.attributes.get_float("alpha", 1.0) == product.attributes.get_float("beta", 1.0) == 1.0
        if node is not product or int(product.attributes.get_int("transA", 0)) or not plain:
            return None
        weight = weight.T if product.attributes.get_int("transB", 0) else weight
        bias = _array(product.inputs[2]) if len(product.inputs) > 2 and product.inputs[2] is not None else None
        if bias is None and len(product.inputs) > 2 and product.inputs[2] is not None:
            return None
    return _Linear(node, product.inputs[0], weight, bias)


def _turn_projection(graph: ir.Graph, linear: _Linear) -> bool:
    """x turned, projected, cut into heads: the heads straight from x."""
    turn = linear.source.producer()
    if turn is None or turn.op_type != "Transpose" or list(turn.attributes.get_ints("perm", [])) != _FLIP:
        return False
    sizes = two_sizes(linear.source.shape) if linear.source.shape is not None else None
    if sizes is None or turn.inputs[0] is None:
        return False
    first, second = (_heads(linear, s) for s in sizes)
    if not first or first != second:
        return False
    for head in first:
        _write_head(graph, linear, turn.inputs[0], head)
    return True


def _heads(linear: _Linear, sizes: Sizes) -> list[_Head] | None:
    """What the projection is cut into, or None when a part of it is anything else."""
    shape = concrete(linear.source.shape, sizes)
    if shape is None:
        return None
    if shape[0] * shape[1] * linear.weight.shape[1] > _LARGEST:
        return None
    start = numbered([*shape[:2], linear.weight.shape[1]])
    found: list[_Head] = []
    todo = [(linear.out, start)]
    while todo:
        value, array = todo.pop()
        if (head := _as_head(value, array, start)) is not None:
            found.append(head)
            continue
        if value.is_graph_output() or not value.uses():
            return None
        for node in value.consumers():
            after = moved(node, array, sizes) if node.inputs[0] is value else None
            if after is None:
                return None
            todo.append((node.outputs[0], after))
    return sorted(found, key=lambda h: (h.first, h.turned, h.value.name or ""))


def _as_head(value: ir.Value, array: Any, start: Any) -> _Head | None:
    """`value` as columns of `start` ``[sequence, batch, columns]`` in heads, if it is that."""
    if array.ndim != 4:
        return None
    length, batch, columns = start.shape
    for turned in (False, True):
        plain = array.swapaxes(2, 3) if turned else array
        heads, size = plain.shape[1], plain.shape[3]
        first = int(plain.flat[0]) % columns
        cut = start[:, :, first : first + heads * size]
        if plain.shape != (batch, heads, length, size) or cut.shape[2] != heads * size:
            continue
        if np.array_equal(plain, cut.reshape(length, batch, heads, size).transpose(1, 2, 0, 3)):
            return _Head(value, first, heads, size, turned)
    return None


def _write_head(graph: ir.Graph, linear: _Linear, x: ir.Value, head: _Head) -> None:
    import onnx_ir as ir

    base, width = f"{linear.last.name}.{head.first}", head.heads * head.size
    columns = slice(head.first, head.first + width)
    rows = x.shape[:2] if x.shape is not None else [None, None]
    write = _Writer(graph, linear.last, linear.out.dtype)
    weight = initializer(graph, f"{base}.weight", np.ascontiguousarray(linear.weight[:, columns]))
    out = write("MatMul", [x, weight], f"{base}.product", [*rows, width])
    if linear.bias is not None:
        bias = initializer(graph, f"{base}.bias", np.ascontiguousarray(linear.bias[columns]))
        out = write("Add", [out, bias], f"{base}.biased", [*rows, width])
    cut = initializer(graph, f"heads.{head.heads}.{head.size}", np.array([0, 0, head.heads, head.size], np.int64))
    out = write("Reshape", [out, cut], f"{base}.cut", [*rows, head.heads, head.size])
    shape = head.value.shape or ir.Shape([None] * 4)
    perm = [0, 2, 3, 1] if head.turned else [0, 2, 1, 3]
    out = write("Transpose", [out], f"{base}.heads", list(shape), perm=perm)
    ir.convenience.replace_all_uses_with(head.value, out)


def _turn_result(graph: ir.Graph, linear: _Linear) -> bool:
    """Heads joined sequence first, projected, turned back: joined batch first and projected."""
    chain: list[ir.Node] = []
    value = linear.source
    while (node := value.producer()) is not None and node.inputs and node.inputs[0] is not None:
        if node.op_type not in ("Reshape", "Transpose", "Identity") or len(value.uses()) != 1:
            break
        chain.insert(0, node)
        value = node.inputs[0]
    if not chain or value.shape is None or len(value.shape) != 4:
        return False
    sizes = two_sizes(value.shape)
    if sizes is None:
        return False
    first, second = (_back_in_order(linear, value, chain, s) for s in sizes)
    if first is None or first is not second:
        return False
    _write_result(graph, linear, value, first)
    return True


def _back_in_order(linear: _Linear, heads: ir.Value, chain: list[ir.Node], sizes: Sizes) -> ir.Value | None:
    """The value behind the projection that has its rows as ``[batch, sequence]`` again, if there is exactly one."""
    shape = concrete(heads.shape, sizes)
    if shape is None or math.prod(shape) > _LARGEST:
        return None
    array: Any = numbered(shape)
    joined = array.transpose(0, 2, 1, 3).reshape(shape[0] * shape[2], -1)
    for node in chain:
        array = moved(node, array, sizes)
        if array is None:
            return None
    rows = array.reshape(-1, array.shape[-1])
    if rows.shape != joined.shape or linear.weight.shape[0] != joined.shape[1]:
        return None
    place = {int(r[0]): i for i, r in enumerate(joined)}
    order = [place.get(int(r[0]), -1) for r in rows]
    if -1 in order or not np.array_equal(rows, joined[order]):
        return None
    columns = linear.weight.shape[1]
    current: Any = (np.array(order)[:, None] * columns + np.arange(columns)).reshape(*array.shape[:-1], columns)
    wanted = numbered([shape[0], shape[2], columns])
    value = linear.out
    while current.shape != wanted.shape or not np.array_equal(current, wanted):
        nodes = list(value.consumers())
        if len(value.uses()) != 1 or value.is_graph_output() or nodes[0].inputs[0] is not value:
            return None
        current = moved(nodes[0], current, sizes)
        if current is None:
            return None
        value = nodes[0].outputs[0]
    return value if value is not linear.out else None


def _write_result(graph: ir.Graph, linear: _Linear, heads: ir.Value, result: ir.Value) -> None:
    import onnx_ir as ir

    base = linear.last.name or ""
    assert heads.shape is not None
    batch, count, length, size = heads.shape
    width = math.prod(d for d in (count, size) if isinstance(d, int))
    write = _Writer(graph, linear.last, linear.out.dtype)
    out = write("Transpose", [heads], f"{base}.turned", [batch, length, count, size], perm=[0, 2, 1, 3])
    whole = initializer(graph, f"joined.{width}", np.array([0, 0, width], np.int64))
    out = write("Reshape", [out, whole], f"{base}.joined", [batch, length, width])
    weight = initializer(graph, f"{base}.weight", np.ascontiguousarray(linear.weight))
    shape = [batch, length, linear.weight.shape[1]]
    out = write("MatMul", [out, weight], f"{base}.product", shape)
    if linear.bias is not None:
        out = write("Add", [out, initializer(graph, f"{base}.bias", linear.bias)], f"{base}.biased", shape)
    ir.convenience.replace_all_uses_with(result, out, replace_graph_outputs=True)


class _Writer:
    """Writes nodes in front of one node, with its module, and says what they give."""

    def __init__(self, graph: ir.Graph, before: ir.Node, dtype: Any) -> None:
        self._graph, self._before, self._dtype = graph, before, dtype

    def __call__(self, op: str, inputs: list[ir.Value], name: str, shape: Any, **attributes: Any) -> ir.Value:
        import onnx_ir as ir

        node = ir.node(op, inputs, attributes, name=name)
        node.metadata_props.update(self._before.metadata_props)
        node.outputs[0].name, node.outputs[0].shape = f"{name}_out", ir.Shape(list(shape))
        node.outputs[0].dtype = self._dtype
        self._graph.insert_before(self._before, node)
        return node.outputs[0]


def _array(value: ir.Value | None) -> Any:
    import onnx_ir as ir

    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return tensor.numpy() if tensor is not None else None

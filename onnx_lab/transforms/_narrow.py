"""One row of an operator's result: which rows of its inputs it needs.

For each operator that computes the rows of an axis each for itself, the axis of each input that may be narrowed to one
row with the result. An operator that is not known here is not narrowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

#: For each input the axis to narrow, or None where it is used as it is.
Axes = list[int | None]
Rule = Callable[["ir.Node", int], "Axes | None"]

_ELEMENTWISE = frozenset(
    "Add Sub Mul Div Pow Where And Or Not Equal Greater GreaterOrEqual Less LessOrEqual Max Min Gelu Erf Tanh Sqrt "
    "Relu Sigmoid Cast IsNaN Identity Neg Abs Exp Clip BiasGelu FastGelu QuickGelu HardSigmoid HardSwish Elu".split()
)


def rows_needed(node: ir.Node, axis: int) -> Axes | None:
    """For one row of `axis` of the node's results: the axis to narrow of each input; None when it is not known."""
    if node.op_type in _ELEMENTWISE:
        return _elementwise(node, axis)
    rule = _RULES.get(node.op_type)
    return rule(node, axis) if rule is not None else None


def dims(value: ir.Value | None) -> list[int | str] | None:
    """Sizes and names of a value's axes; None when one is neither."""
    if value is None or value.shape is None:
        return None
    found = [d if isinstance(d, int) else d.value for d in value.shape]
    return None if any(d is None for d in found) else [d for d in found if d is not None]


def _elementwise(node: ir.Node, axis: int) -> Axes | None:
    out = dims(node.outputs[0])
    return None if out is None else _aligned(node.inputs, out, axis)


def _aligned(inputs: Sequence[ir.Value | None], out: list[int | str], axis: int) -> Axes | None:
    """By the rules of broadcasting; an axis of 1 is used as it is."""
    axes: Axes = []
    for value in inputs:
        shape = dims(value)
        if value is None:
            axes.append(None)
            continue
        if shape is None:
            return None
        own = axis - (len(out) - len(shape))
        if own < 0 or shape[own] == 1:
            axes.append(None)
        elif shape[own] == out[axis]:
            axes.append(own)
        else:
            return None
    return axes if any(a is not None for a in axes) else None


def _rest(node: ir.Node, first: int | None) -> Axes:
    return [first, *[None] * (len(node.inputs) - 1)]


def _norm(node: ir.Node, axis: int) -> Axes | None:
    shape = dims(node.outputs[0])
    over = node.attributes.get_int("axis", -1)
    return None if shape is None or axis >= over % len(shape) else _rest(node, axis)


def _skip_norm(node: ir.Node, axis: int) -> Axes | None:
    first, second = dims(node.inputs[0]), dims(node.inputs[1])
    same = first is not None and first == second and axis < len(first) - 1
    return [axis, axis, *[None] * (len(node.inputs) - 2)] if same else None


def _softmax(node: ir.Node, axis: int) -> Axes | None:
    shape = dims(node.outputs[0])
    return None if shape is None or axis == node.attributes.get_int("axis", -1) % len(shape) else [axis]


def _matmul(node: ir.Node, axis: int) -> Axes | None:
    out, a, b = dims(node.outputs[0]), dims(node.inputs[0]), dims(node.inputs[1])
    if out is None or a is None or b is None or len(a) < 2 or len(b) < 2 or axis == len(out) - 1:
        return None
    if axis == len(out) - 2:
        return [len(a) - 2, None]
    return _aligned(node.inputs, out, axis)


def _gemm(node: ir.Node, axis: int) -> Axes | None:
    bias = dims(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else [1]
    plain = not int(node.attributes.get_int("transA", 0)) and bias is not None and (len(bias) < 2 or bias[0] == 1)
    return _rest(node, 0) if plain and axis == 0 else None


def _transpose(node: ir.Node, axis: int) -> Axes | None:
    perm = node.attributes.get_ints("perm", [])
    return [perm[axis]] if perm else None


def _reshape(node: ir.Node, axis: int) -> Axes | None:
    """The axis of the input that survives as `axis`: as much before it, and the size is the same."""
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    if before is None or after is None:
        return None
    for own, size in enumerate(before):
        if size == after[axis] and size != 1 and _product(before[:own]) == _product(after[:axis]):
            return [own, None]
    return None


def _product(shape: Sequence[int | str]) -> tuple[int, Counter[str]]:
    number = 1
    for d in shape:
        number *= d if isinstance(d, int) else 1
    return number, Counter(d for d in shape if isinstance(d, str))


def _gather(node: ir.Node, axis: int) -> Axes | None:
    data, index = dims(node.inputs[0]), dims(node.inputs[1])
    if data is None or index is None:
        return None
    over = node.attributes.get_int("axis", 0) % len(data)
    if over <= axis < over + len(index):
        return None
    return [axis if axis < over else axis - len(index) + 1, None]


def _split(node: ir.Node, axis: int) -> Axes | None:
    shape = dims(node.inputs[0])
    return None if shape is None or axis == node.attributes.get_int("axis", 0) % len(shape) else _rest(node, axis)


def _concat(node: ir.Node, axis: int) -> Axes | None:
    shape = dims(node.outputs[0])
    over = node.attributes.get_int("axis", 0)
    return None if shape is None or axis == over % len(shape) else [axis] * len(node.inputs)


def _multi_head(node: ir.Node, axis: int) -> Axes | None:
    """Queries by rows, keys and values whole. Causal attention asks where a row stands, so it is left."""
    query, key, value, _, padding, bias, *past = [*node.inputs, *[None] * 6][: max(6, len(node.inputs))]
    shape = dims(query)
    if axis != 1 or shape is None or len(shape) != 3 or key is None or value is None or any(past):
        return None
    if int(node.attributes.get_int("unidirectional", 0)) or (padding is not None and len(dims(padding) or [0] * 3) > 2):
        return None
    axes = _rest(node, 1)
    if bias is not None:
        mask = dims(bias)
        if mask is None or len(mask) != 4:
            return None
        axes[5] = None if mask[2] == 1 else 2
    return axes


def _native(node: ir.Node, axis: int) -> Axes | None:
    query = dims(node.inputs[0])
    if query is None or int(node.attributes.get_int("is_causal", 0)) or any(v is not None for v in node.inputs[4:]):
        return None
    if axis != {3: 1, 4: 2}.get(len(query)):
        return None
    axes = _rest(node, axis)
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        mask = dims(node.inputs[3])
        if mask is None or len(mask) < 2:
            return None
        axes[3] = None if mask[-2] == 1 else len(mask) - 2
    return axes


def _attention(node: ir.Node, axis: int) -> Axes | None:
    return _native(node, axis) if node.domain in ("", "ai.onnx") else None


_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "LayerNormalization": _norm,
        "RMSNormalization": _norm,
        "SimplifiedLayerNormalization": _norm,
        "SkipLayerNormalization": _skip_norm,
        "SkipSimplifiedLayerNormalization": _skip_norm,
        "Softmax": _softmax,
        "MatMul": _matmul,
        "Gemm": _gemm,
        "Transpose": _transpose,
        "Reshape": _reshape,
        "Gather": _gather,
        "Split": _split,
        "Concat": _concat,
        "MultiHeadAttention": _multi_head,
        "Attention": _attention,
    }
)

"""What a chain of Reshape, Transpose and their like does, found by sending numbered elements through it.

Exporters write one move of data in many ways. Instead of knowing the ways, the chain is run on an array in which every
element is its own number: where the numbers arrive is what the chain does, at this size. Two sizes tell the axes apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx_ir as ir

Array = npt.NDArray[np.int64]
Sizes = Mapping[str, int]

_ONNX = ("", "ai.onnx")


def concrete(shape: ir.Shape | None, sizes: Sizes) -> list[int] | None:
    """The numbers of a shape at these `sizes` of named axes; None when an axis is neither a number nor named there."""
    if shape is None:
        return None
    dims = [d if isinstance(d, int) else sizes.get(str(d.value)) for d in shape]
    return None if any(d is None for d in dims) else [d for d in dims if d is not None]


def moved(node: ir.Node, array: Array, sizes: Sizes) -> Array | None:
    """What `node` makes of its first input, or None when it is not known to move elements only."""
    if node.domain not in _ONNX or len(node.outputs) != 1:
        return None
    try:
        if node.op_type == "Identity":
            return array
        if node.op_type == "Transpose":
            return array.transpose(node.attributes.get_ints("perm", list(range(array.ndim))[::-1]))
        if node.op_type in ("Reshape", "Flatten", "Unsqueeze", "Squeeze"):
            return _reshaped(node, array, sizes)
        if node.op_type == "Gather":
            index = _constant(node, 1)
            if index is not None:
                taken: Array = np.take(array, index, axis=node.attributes.get_int("axis", 0))
                return taken
    except (ValueError, IndexError):  # the numbers do not fit at this size: then it is not what it was taken for
        pass
    return None


def _reshaped(node: ir.Node, array: Array, sizes: Sizes) -> Array | None:
    """By its target where that can be computed, else by the shape that inference found: one axis may be unknown."""
    target = shape_value(node.inputs[1], sizes) if node.op_type == "Reshape" else None
    if target is not None and target.ndim == 1 and (target > 0).sum() + (target == -1).sum() == target.size:
        return array.reshape(target.tolist())
    shape = node.outputs[0].shape
    if shape is None:
        return None
    dims = [d if isinstance(d, int) else sizes.get(str(d.value), -1) for d in shape]
    return array.reshape(dims) if dims.count(-1) <= 1 else None


def shape_value(value: ir.Value | None, sizes: Sizes) -> Array | None:
    """What a tensor that is computed from shapes holds at these `sizes`; None when it is not known."""
    import onnx_ir as ir

    if value is None:
        return None
    if (tensor := ir.convenience.get_const_tensor(value)) is not None:
        return tensor.numpy() if tensor.dtype == ir.DataType.INT64 else None
    node = value.producer()
    if node is None or node.domain not in _ONNX:
        return None
    if node.op_type == "Shape":
        known = concrete(node.inputs[0].shape, sizes) if node.inputs[0] is not None else None
        start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(known or []))
        return np.array(known[start:end], np.int64) if known is not None else None
    parts = [shape_value(v, sizes) for v in node.inputs]
    if not parts or any(p is None for p in parts):
        return None
    return _computed(node, [p for p in parts if p is not None])


def _computed(node: ir.Node, parts: list[Array]) -> Array | None:
    """The operators that exporters compute shapes with, on vectors."""
    first = parts[0]
    if node.op_type == "Concat":
        return np.concatenate(parts)
    if node.op_type == "Identity":
        return first
    if node.op_type in ("Squeeze", "Unsqueeze"):
        return first.reshape(()) if node.op_type == "Squeeze" and first.size == 1 else first.reshape(-1)
    if node.op_type == "Gather" and first.ndim == 1:
        return np.array(first[parts[1]])
    if node.op_type == "Slice" and first.ndim == 1 and all(p.size == 1 for p in parts[1:]):
        start, end, _, step = [*(int(p.item()) for p in parts[1:]), *[0, 1][len(parts) - 3 :]]
        return first[start:end:step]
    return None


def _constant(node: ir.Node, index: int) -> npt.NDArray[Any] | None:
    import onnx_ir as ir

    value = node.inputs[index] if len(node.inputs) > index else None
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return tensor.numpy() if tensor is not None else None


def numbered(shape: list[int]) -> Array:
    """An array of this shape whose elements are their own numbers."""
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)


def two_sizes(shape: ir.Shape) -> list[Sizes] | None:
    """Two settings of the names in `shape`; None when an axis has neither a number nor a name."""
    names = [None if isinstance(d, int) else d.value for d in shape]
    if any(not isinstance(d, int) and d.value is None for d in shape):
        return None
    used = [n for n in dict.fromkeys(names) if n is not None]
    return [{n: 2 + i + 3 * which for i, n in enumerate(used)} for which in (0, 1)]

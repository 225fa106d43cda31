"""Constants made for the old size, brought to the free one: cut to a row, repeated, counted anew, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from onnx_lab.transforms.surgery._free_dims import Dim, Dims, Free, is_free, joined, old_size
from onnx_lab.transforms.surgery._free_mends import Mend
from onnx_lab.transforms.surgery._infer import Array, Refused

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.transforms.surgery._free_walk import Walk, Way


def to_size(walk: Walk, node: ir.Node, way: Way, i: int, axis: int, free: Dim, *, must_repeat: bool) -> Way:
    """Bring an input that was made for the old size to the free one, along an axis."""
    dims, value = way.dims[i], node.inputs[i]
    assert dims is not None
    assert value is not None
    size, array = old_size(dims[axis]), walk.constant(value)
    if size > 1 and array is None:
        kept = "a constant too large to look into" if walk.is_constant(value) else "computed without the free axis"
        raise Refused(f"{value.name} is made for {size}, and is {kept}")
    if array is not None and len(free) > 1 and (tiled := _tiled(node, way, i, axis, free, array)) is not None:
        return tiled
    step = step_of(array, axis) if array is not None and size > 1 else None
    if size > 1 and array is not None and step is None:
        raise Refused(f"{value.name} holds other values for each of {size}")
    row = None if array is None or size == 1 else array.take([0], axis)
    factor = free[0] if len(free) == 1 else None
    if step is not None and step.any():
        if not isinstance(factor, Free):
            raise Refused(f"{value.name} counts along {shown((free,))}")
        mend = Mend(node, i, "count", [factor.home], axis, row, step)
    elif must_repeat:
        if not isinstance(factor, Free):
            raise Refused(f"{value.name} would have to be repeated along {shown((free,))}")
        mend = Mend(node, i, "repeat", [factor.home if a == axis else 1 for a in range(len(dims))], axis, row)
    else:
        mend = Mend(node, i, "row", (), axis, row)
        free = ()
    return changed(way, i, tuple(free if a == axis else d for a, d in enumerate(dims)), mend)


def _tiled(node: ir.Node, way: Way, i: int, axis: int, free: Dim, array: Array) -> Way | None:
    """A constant for an axis of samples and something inside them: the same for each sample, other inside."""
    factor, inner = free[0], joined(free[1:])
    if not isinstance(factor, Free) or is_free(inner):
        return None
    rows = np.moveaxis(array, axis, 0).reshape(factor.old, old_size(inner), -1)
    if (rows != rows[:1]).any() or not (rows != rows[:, :1]).any():
        return None
    dims = way.dims[i] or ()
    base = array.take(range(old_size(inner)), axis)
    mend = Mend(node, i, "tile", [factor.home if a == axis else 1 for a in range(len(dims))], axis, base)
    return changed(way, i, tuple(free if a == axis else d for a, d in enumerate(dims)), mend)


def step_of(array: Array, axis: int) -> Array | None:
    """What each row adds to the one before, zeros where all are equal; None where that is not one step."""
    rows = np.moveaxis(array, axis, 0)
    if array.dtype.kind not in "iu":
        equal = bool((rows == rows[:1]).all()) or bool(
            np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape), equal_nan=array.dtype.kind == "f")
        )
        return np.zeros_like(array.take([0], axis)) if equal else None
    steps = np.diff(rows.astype(np.int64), axis=0)
    if (steps != steps[:1]).any():
        return None
    made: Array = np.moveaxis(steps[:1], 0, axis).astype(array.dtype)
    return made


def changed(way: Way, i: int, dims: Dims, mend: Mend) -> Way:
    changed, data = list(way.dims), list(way.data)
    changed[i], data[i] = dims, None
    return replace(way, dims=changed, data=data, mends=[*way.mends, mend])


def of_samples(dim: Dim) -> bool:
    return any(isinstance(f, Free) and f.samples for f in dim)


def name_of(node: ir.Node, i: int) -> str:
    value = node.inputs[i]
    return "" if value is None else value.name or ""


def shown(dims: Sequence[Dim]) -> str:
    """``[batch*16, 64]``."""
    return (
        "[" + ", ".join("*".join(str(f) if isinstance(f, int) else f.name or "?" for f in d) or "1" for d in dims) + "]"
    )

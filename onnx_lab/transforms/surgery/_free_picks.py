"""Gather and its kin over samples: each sample's indices stay in itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnx_lab.transforms.surgery._free_dims import Dim, Free, is_free, joined, old_size
from onnx_lab.transforms.surgery._free_fit import changed, name_of, of_samples, shown, step_of, to_size
from onnx_lab.transforms.surgery._free_mends import Mend
from onnx_lab.transforms.surgery._infer import Refused

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.transforms.surgery._free_walk import Walk, Way


def gather(walk: Walk, node: ir.Node, plain: Way) -> list[Way]:
    source = plain.dims[0]
    assert source is not None
    axis = node.attributes.get_int("axis", 0) % len(source)
    return [_picked(walk, node, plain, {None: source[axis]})]


def gather_nd(walk: Walk, node: ir.Node, plain: Way) -> list[Way]:
    source, indices = plain.dims[0], plain.dims[1]
    if source is None or indices is None or node.attributes.get_int("batch_dims", 0) != 0:
        return [plain]
    return [_picked(walk, node, plain, dict(enumerate(source[: old_size(indices[-1])])))]


def _picked(walk: Walk, node: ir.Node, plain: Way, picked: dict[int | None, Dim]) -> Way:
    """Indices into an axis of samples: each sample's stay in itself."""
    columns = {c: d for c, d in picked.items() if of_samples(d)}
    indices = plain.dims[1]
    if not columns or indices is None:
        return plain
    (column, dim), *more = columns.items()
    factor, inner = dim[0], joined(dim[1:])
    if more or not isinstance(factor, Free) or is_free(inner):
        raise Refused(f"it picks from {shown((dim,))}")
    stride = old_size(inner)
    rank = len(indices) - (column is not None)
    if rank == 0:
        raise Refused("it takes one sample out of the batch")
    value = walk.constant(node.inputs[1])
    if value is None and factor.old > 1:
        return plain  # what computes them was mended before
    at = next((a for a in range(rank) if indices[a] == (factor,)), 0)
    if old_size(indices[at]) != factor.old or (value is not None and is_free(indices[at])):
        raise Refused("it takes a few samples out of the batch")
    base = None if value is None else value.take([0], at)
    if value is not None and factor.old > 1:
        step = step_of(value, at)
        if step is None:
            raise Refused(f"{name_of(node, 1)} holds other values for each of {factor.old}")
    else:
        step = np.zeros([1] * len(indices) if column is None else [*[1] * rank, old_size(indices[-1])], np.int64)
        step[(...,) if column is None else (..., column)] = stride
    mend = Mend(node, 1, "count", [factor.home], at, base, step)
    return changed(plain, 1, tuple((factor,) if a == at else d for a, d in enumerate(indices)), mend)


def gather_elements(walk: Walk, node: ir.Node, plain: Way) -> list[Way]:
    source, indices, way = plain.dims[0], plain.dims[1], plain
    assert source is not None
    assert indices is not None
    axis = node.attributes.get_int("axis", 0) % len(source)
    for a, dim in enumerate(source):
        if a == axis and of_samples(dim):
            raise Refused("it picks across the samples of a batch")
        if a == axis or is_free(dim) == is_free(indices[a]) or old_size(indices[a]) != old_size(dim):
            continue
        short, free = (1, dim) if is_free(dim) else (0, indices[a])
        way = to_size(walk, node, way, short, a, free, must_repeat=True)
    return [way]

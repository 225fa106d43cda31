"""Weights of two files side by side: which ones changed, and how far 8 bits or 16 are from what they were.

No engine is needed: a quantized weight is turned back into numbers with its own scales.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onnx_lab._metadata import module_of
from onnx_lab.measure._differences import Sums
from onnx_lab.measure._match import scale_of

if TYPE_CHECKING:
    import onnx_ir as ir

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class WeightDifference:
    """One weight of both files: who reads it in the first, its type in the second, how far it is off.

    `error` is the relative error (norm of the difference by the norm), `snr` the same in dB.
    """

    weight: str
    node: str
    op: str
    module: str
    dtype: str
    error: float
    snr: float
    largest: float


def weight_differences(a: ir.Model, b: ir.Model) -> list[WeightDifference]:
    """The weights that are not the same in both, worst first; what one of them does not have is left out."""
    return sorted(_differences(a, b), key=lambda w: -w.error)


def _differences(a: ir.Model, b: ir.Model) -> Iterator[WeightDifference]:
    for name, value in a.graph.initializers.items():
        was = value.const_value
        if was is None or not _is_float(was) or was.size < 2:
            continue
        found = _read(b, name, tuple(was.shape.numpy()))
        if found is None:
            continue
        dtype, candidates = found
        before = was.numpy()
        sums = min((_sums(before, now) for now in candidates), key=lambda s: s.error)
        if sums.error or sums.bad:
            reader = next(iter(value.consumers()), None)
            r = sums.result(name, "", "", "", 0.0)
            where = (reader.name or "", reader.op_type, module_of(reader)) if reader is not None else ("", "", "")
            yield WeightDifference(name, *where, dtype, math.inf if r.bad else r.error, r.snr, r.largest)


def _read(b: ir.Model, name: str, shape: tuple[int, ...]) -> tuple[str, list[Array]] | None:
    """Type and values of a weight in `b`; several readings where two axes could be that of its scales."""
    same, packed = (b.graph.initializers.get(n) for n in (name, f"{name}_quantized"))
    if same is not None and same.const_value is not None:
        tensor = same.const_value
        return (_said(tensor), [tensor.numpy()]) if tuple(tensor.shape.numpy()) == shape else None
    scale = scale_of(b, name)
    q = packed.const_value if packed is not None else None
    if q is None or scale is None:
        return None
    # a product with a transposed weight may have been given the weight itself
    turned = [q.numpy(), q.numpy().T] if len(shape) == 2 else [q.numpy()]
    both = [w for w in turned if w.shape == shape]
    axes = [i for i, n in enumerate(shape) if n == scale.scale.size]
    if scale.scale.size == 1:
        values = [scale.floats(w) for w in both]
    else:
        values = [scale.along(i, len(shape)).floats(w) for w in both for i in axes]
    return (_said(q), values) if values else None


def _said(tensor: ir.TensorProtocol) -> str:
    """Its type, as NumPy calls it."""
    return {"float": "float32", "double": "float64"}.get(name := tensor.dtype.name.lower(), name)


def _sums(before: Array, now: Array) -> Sums:
    sums = Sums()
    if before.dtype != now.dtype or not np.array_equal(before, now):
        sums.add(before, now)
    return sums


def _is_float(tensor: ir.TensorProtocol) -> bool:
    return bool(tensor.dtype.is_floating_point())

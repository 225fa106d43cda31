"""Which weights are of another type, gone, or new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx_lab.measure._changes import dtype_name

if TYPE_CHECKING:
    import onnx_ir as ir

#: A weight that took another's place bears its name with something behind it, and holds about as many numbers or fewer.
_MARKS = "_.:/"


@dataclass(frozen=True)
class WeightChange:
    """One weight: its dtype before and after, "" where there is none, and its bytes."""

    name: str
    before: str
    after: str
    bytes_before: int
    bytes_after: int


def weight_changes(a: ir.Model, b: ir.Model) -> list[WeightChange]:
    """Weights of another dtype, those that are gone and those that are new, largest first."""
    left, right = _weights(a), _weights(b)
    heirs = _heirs(left, right)
    found = []
    for name, old in left.items():
        new = right.get(name) or right.get(heirs.get(name, ""))
        if new is None:
            found.append(WeightChange(name, dtype_name(old), "", old.nbytes, 0))
        elif new.dtype != old.dtype:
            found.append(WeightChange(name, dtype_name(old), dtype_name(new), old.nbytes, new.nbytes))
    known = {*left, *heirs.values()}
    found += [WeightChange(n, "", dtype_name(t), 0, t.nbytes) for n, t in right.items() if n not in known]
    return sorted(found, key=lambda w: -max(w.bytes_before, w.bytes_after))


def _weights(m: ir.Model) -> dict[str, ir.TensorProtocol]:
    return {v.name or "": v.const_value for v in m.graph.initializers.values() if v.const_value is not None}


def _heirs(left: Mapping[str, ir.TensorProtocol], right: Mapping[str, ir.TensorProtocol]) -> dict[str, str]:
    """Vanished weight -> the largest new one that is called after it, such as ``w_quantized`` after ``w``."""
    gone = {n for n in left if n not in right}
    heirs: dict[str, str] = {}
    for name, tensor in right.items():
        if name in left:
            continue
        ends = [i for i, c in enumerate(name) if c in _MARKS and name[:i] in gone]
        if ends:
            old = name[: max(ends)]
            if old not in heirs or right[heirs[old]].nbytes < tensor.nbytes:
                heirs[old] = name
    return heirs

"""What float16 could not hold: counted from the weights themselves, and said in a sentence."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from onnx_lab._memory import in_blocks
from onnx_lab._metadata import module_of
from onnx_lab.model import Model

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx_ir as ir

_NAMED_WEIGHTS = 5


def report(before: ir.Model, after: ir.Model, limits: tuple[float, float]) -> dict[str, Any]:
    """Counted from the weights themselves: how many lie beyond the limits, in all and by weight."""
    import onnx_ir as ir

    clamped: Counter[str] = Counter()
    flushed: Counter[str] = Counter()
    converted = kept = 0
    for name, value in before.graph.initializers.items():
        now = after.graph.initializers[name].const_value if name in after.graph.initializers else None
        if value.const_value is None or value.const_value.dtype != ir.DataType.FLOAT or now is None:
            continue
        if now.dtype != ir.DataType.FLOAT16:
            kept += value.const_value.size
            continue
        converted += value.const_value.size
        over, under = _beyond(value.const_value.numpy(), limits)
        if over:
            clamped[_owner(value) or name] += over
        if under:
            flushed[_owner(value) or name] += under
    return {
        "converted": converted,
        "kept_float32": kept,
        "clamped": {"total": sum(clamped.values()), "weights": _most(clamped)},
        "flushed": {"total": sum(flushed.values()), "weights": _most(flushed)},
    }


def _beyond(weight: npt.NDArray[Any], limits: tuple[float, float]) -> tuple[int, int]:
    """How many finite numbers are above the limits, and how many below that are not zero."""
    import numpy as np

    over = under = 0
    for block in in_blocks(weight):
        size = np.abs(block)
        over += int(np.count_nonzero((size > limits[1]) & np.isfinite(size)))
        under += int(np.count_nonzero((size > 0) & (size < limits[0])))
    return over, under


def _owner(weight: ir.Value) -> str:
    """The module whose weight it is: exporters name half of the weights ``val_407``."""
    name = weight.name or ""
    return name if "." in name else next((m for n in weight.consumers() if (m := module_of(n))), "")


def _most(counts: Counter[str]) -> dict[str, int]:
    return dict(counts.most_common(_NAMED_WEIGHTS))


def say(found: dict[str, Any], limits: tuple[float, float], m: Model) -> list[str]:
    if not found["converted"]:
        have = ", ".join(m.header.weights) or "none"
        return [f"changed no weight: {m.name} has no float32 weight that may become float16 (weights: {have})"]
    said = [f"{found['converted']:,} weights are float16, {found['kept_float32']:,} stay float32"]
    for kind, what in (("clamped", f"above {limits[1]:g} clamped"), ("flushed", f"below {limits[0]:g} flushed to it")):
        if total := found[kind]["total"]:
            where = [f"{k} ({n})" for k, n in found[kind]["weights"].items()]
            more = ["..."] if len(where) == _NAMED_WEIGHTS else []
            said.append(f"{total:,} weight{'s' * (total != 1)} {what}: {', '.join(where + more)}")
    if len(said) == 1:
        said.append("no weight lies beyond the range of float16")
    return said

"""What keeps 8 bits from being fast here: the CPU, products that stayed float, scaling that was not fused, fallbacks.

All from the profile of what ran, but for the neighbours of a scaling, which the file tells.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from onnx_lab.model import Model
from onnx_lab.runtime._hardware import this_hardware
from onnx_lab.runtime.target import PROVIDERS

if TYPE_CHECKING:
    from onnx_lab.measure.profile import NodeTime, Profile

_CPU = "CPUExecutionProvider"
_SCALING = ("QuantizeLinear", "DequantizeLinear")
_NAMED = 3


def about_int8(own: Profile, m: Model | None) -> list[str]:
    """The sentences; none for a model without 8-bit work."""
    if not {"int8", "scaling"} & own.kinds.keys():
        return []
    return [s for s in (_cpu(), _share(own), _apart(own, m), fallbacks(own)) if s]


def _cpu() -> str:
    has = this_hardware().features
    names = [n for n in ("AMX_INT8", "VNNI") if has.get(n)]
    if names:
        return f"this CPU has instructions for 8-bit products: {', '.join(names)}"
    return "this CPU has no instruction for 8-bit products (no VNNI, no AMX)" if has else ""


def _share(own: Profile) -> str:
    """How much of the multiply-accumulates runs in integer kernels."""
    products = [n for n in own.nodes if n.macs]
    total = sum(n.macs for n in products)
    if not total:
        return ""
    eight = [n for n in products if n.kind == "int8"]
    left = sorted((n for n in products if n.kind == "float"), key=lambda n: -n.macs)
    named = ", ".join(n.name for n in left[:_NAMED])
    said = f"{sum(n.macs for n in eight) / total:.0%} of the multiply-accumulates run in 8-bit kernels"
    return said + (f"; {len(left)} products stayed float, the largest: {named}" if left else "")


def _apart(own: Profile, m: Model | None) -> str:
    """Scaling that runs as kernels of its own, since what lies between is float."""
    alone = [n for n in own.nodes if n.op in _SCALING]
    if not alone:
        return ""
    share = sum(n.seconds for n in alone) / (own.kernels or 1.0)
    counts = Counter(n.op for n in alone)
    said = " and ".join(f"{counts[op]} {op}" for op in _SCALING if counts[op])
    around = _neighbours(alone, m) if m is not None else Counter[str]()
    where = f", around {', '.join(op for op, _ in around.most_common(_NAMED))}" if around else ""
    return f"{said} were not fused into 8-bit kernels ({share:.0%} of the kernels' time){where}"


def _neighbours(alone: list[NodeTime], m: Model) -> Counter[str]:
    """The float operators that read what was scaled back, or make what is scaled."""
    by_name = {n.name: n for n in m.to_ir().graph}
    found: Counter[str] = Counter()
    for kernel in alone:
        node = by_name.get(kernel.name)
        if node is None:
            continue
        near = [c for v in node.outputs for c in v.consumers()]
        if node.op_type == "QuantizeLinear":
            maker = node.inputs[0].producer() if node.inputs[0] is not None else None
            near = [maker] if maker is not None else []
        found.update(n.op_type for n in near if n.op_type not in _SCALING)
    return found


def fallbacks(own: Profile) -> str:
    """Kernels that the provider which was asked for left to the CPU's."""
    asked = PROVIDERS.get(own.target.split("[")[0].split(" ")[0], "")
    left = [n for n in own.nodes if n.provider == _CPU]
    if not asked or asked == _CPU or not left:
        return ""
    ops = Counter(n.op for n in left)
    named = ", ".join(op for op, _ in ops.most_common(_NAMED))
    share = sum(n.seconds for n in left) / (own.kernels or 1.0)
    return f"{len(left)} kernels fell back to the CPU provider ({named}): {share:.0%} of the kernels' time"

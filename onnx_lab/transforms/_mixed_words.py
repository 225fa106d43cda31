"""What mixed_precision has to say: which nodes, of which modules, why, and at what error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onnx_lab._metadata import module_of
from onnx_lab.errors import TransformError
from onnx_lab.model import Model
from onnx_lab.transforms import _clamped
from onnx_lab.transforms._half import RANGE

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.transforms._dataset import Identity
    from onnx_lab.transforms._tolerance import Judge

NEEDED = "its rounding costs more than is allowed"
UNDECIDED = "not decided: max_evaluations was used up"
_OTHERWISE = ", which would not pass: it rounds elsewhere, in float32 between nodes"
_NAMED = 5


def say(
    notes: Mapping[str, Any],
    before: ir.Model,
    who: Identity,
    judge: Judge,
    m: Model,
    clamped: dict[str, Any],
    accepted_here: bool,
) -> list[str]:
    """The sentences of the card."""
    return [
        *_kept(notes, before),
        f"{_error(notes, judge)} on {who.samples} samples, every float16 tensor rounded as a GPU stores it",
        f"the file as this CPU runs it: {notes['largest_on_cpu']:.2e}" + ("" if accepted_here else _OTHERWISE),
        f"size {notes['size_ratio']:.2f} of {m.name}; evaluations: {notes['evaluations']}",
        *_clamped.say(clamped, RANGE, m),
    ]


def nothing(m: Model, nodes: int, overflows: int) -> list[str]:
    """For a model of which no node can be float16."""
    why = "within this tolerance" if nodes else "because none computes in float32"
    why += f" ({overflows} of {nodes} overflow)" if overflows else ""
    return [f"changed nothing: no node of {m.name} can be float16 {why}"]


def auto_is_wrong(judge: Judge) -> TransformError:
    """onnxconverter-common's search passed, and the lab's check did not."""
    return TransformError(
        "mixed_precision: what onnxconverter-common found does not pass once every float16 tensor is rounded as a GPU "
        f"stores it: {judge.largest:.3g} apart. It searches on the CPU provider, which runs float16 in float32, and on "
        "the first batch alone",
        do="tool='onnxruntime', or run the search on a machine with a GPU",
    )


def _kept(notes: Mapping[str, Any], before: ir.Model) -> list[str]:
    kept, reasons = notes["float32_nodes"], notes["reasons"]
    if not kept:
        return [f"all {notes['nodes']} nodes are float16"]
    homes = {n.name: module_of(n) or n.name or "" for n in before.graph}
    where = Counter(homes[n] for n in kept)
    named = [f"{home} ({n})" for home, n in where.most_common(_NAMED)]
    said = [f"{len(kept)} of {notes['nodes']} nodes stay float32: {_list(named, len(where))}"]
    why = {n: w for n, w in reasons.items() if w not in (NEEDED, UNDECIDED)}
    if why:
        named = [f"{n} {w}" for n, w in list(why.items())[:_NAMED]]
        said.append(f"{_nodes(len(why))} because of overflow: {_list(named, len(why), '; ')}")
    counts = Counter(reasons.values())
    return said + [f"{_nodes(counts[word])}: {word}" for word in (NEEDED, UNDECIDED) if counts[word]]


def _error(notes: Mapping[str, Any], judge: Judge) -> str:
    if judge.validate is not None:
        return f"validate says yes; largest difference {notes['largest']:.2e}"
    return (
        f"largest difference {notes['largest']:.2e}, {notes['share']:.0%} of the tolerance "
        f"(rtol {judge.rtol:g}, atol {judge.atol:g})"
    )


def _nodes(count: int) -> str:
    return f"{count} node{'s' * (count != 1)}"


def _list(named: list[str], total: int, between: str = ", ") -> str:
    return between.join([*named, *["..."] * (total > len(named))])

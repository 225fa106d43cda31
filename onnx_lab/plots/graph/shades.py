"""One number for each box: the time it takes, the bytes it holds, the error it shows; what the view is coloured by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnx_lab.card import megabytes, milliseconds
from onnx_lab.errors import BadInput
from onnx_lab.plots.graph.flat import Flat
from onnx_lab.plots.graph.tree import Tree

_ACCEPTED = '"size", a Profile ("time"), a Trace ("error"), or a dict of node name to number'
#: Errors this many times smaller than the largest are drawn as none.
_DECADES = 4


@dataclass(frozen=True)
class Shades:
    """Values of boxes.

    Attributes
    ----------
    title : str
        What the number is, for the legend.
    values : dict of int to float
        By box; what has none is left out.
    adds : bool
        A group's value is the sum of its boxes'; else the largest.
    text : callable
        The number with its unit.
    """

    title: str
    values: Mapping[int, float]
    adds: bool
    text: Callable[[float], str]

    @property
    def highest(self) -> float:
        """What stands at the dark end of the scale."""
        return max(self.values.values(), default=0.0)

    def depth(self, box: int) -> float:
        """How dark a box is, 0 to 1: by the root of its share, so that small ones are told apart; errors by decades."""
        value, high = self.values.get(box, 0.0), self.highest
        if value <= 0 or high <= 0:
            return 0.0
        if math.isinf(value):
            return 1.0
        if self.adds:
            return math.sqrt(value / high)
        return max(0.0, 1 + math.log10(value / high) / _DECADES)


def shaded(tree: Tree, color: Any) -> Shades:
    """The values of all boxes, read from a result.

    Raises
    ------
    BadInput
        For something that gives no number for nodes, or is of another model.
    """
    flat, kind = tree.flat, type(color).__name__
    words: tuple[str, bool, Callable[[float], str]]
    if isinstance(color, str) and color in ("time", "error"):
        verb = {"time": "lab.profile(m)", "error": "lab.trace(a, m, feeds)"}[color]
        raise BadInput(f"color={color!r} without a measurement", accepted=_ACCEPTED, do=f"color={verb}")
    if isinstance(color, str) and color == "size":
        found, words = _sizes(flat), ("weights", True, megabytes)
    elif kind == "Profile":
        found, words = _times(flat, color), ("time inside kernels", True, milliseconds)
    elif kind == "Trace":
        found, words = _errors(flat, color), ("relative error", False, _percent)
    elif isinstance(color, Mapping) and all(isinstance(v, int | float) for v in color.values()):
        names = {n.name: i for i, n in enumerate(flat.nodes)}
        found = {names[k]: float(v) for k, v in color.items() if k in names}
        words = ("value", False, lambda v: f"{v:.4g}")
    else:
        raise BadInput(f"color={color!r:.60}", accepted=_ACCEPTED, do='color="size", or color=lab.profile(m)')
    if not found:
        raise BadInput(f"color: this {kind} has no value for a node of {flat.name}", accepted="one of the same model")
    title, adds, text = words
    return Shades(title, _with_groups(tree, found, adds), adds, text)


def _with_groups(tree: Tree, found: dict[int, float], adds: bool) -> dict[int, float]:
    values = dict(found)
    for node, value in found.items():
        for group, _ in tree.chain(node):
            values[group] = values.get(group, 0.0) + value if adds else max(values.get(group, 0.0), value)
    return values


def _sizes(flat: Flat) -> dict[int, float]:
    """Bytes of weights, each counted where it is first read."""
    found: dict[int, float] = {}
    for t in flat.tensors:
        if t.maker < 0 and t.size_bytes and t.readers:
            found[t.readers[0]] = found.get(t.readers[0], 0.0) + t.size_bytes
    return found


def _times(flat: Flat, profile: Any) -> dict[int, float]:
    """Kernels' times by the nodes they were made of; a session calls a fused one after its first node."""
    names = {n.name: i for i, n in enumerate(flat.nodes)}
    names |= {f"{flat.tensors[t].name}_nchwc": i for i, n in enumerate(flat.nodes) for t in n.outputs if "Conv" in n.op}
    found: dict[int, float] = {}
    for kernel in profile.nodes:
        name = kernel.name.removeprefix("fused ")
        while name and name not in names:
            name = name[: max(name.rfind("_"), name.rfind("/"), 0)]
        if name:
            found[names[name]] = found.get(names[name], 0.0) + kernel.seconds
    return found


def _errors(flat: Flat, trace: Any) -> dict[int, float]:
    makers = {t.name: t.maker for t in flat.tensors if t.maker >= 0}
    return {makers[r.tensor]: math.inf if r.bad else r.error for r in trace.rows if r.tensor in makers}


def _percent(value: float) -> str:
    return "NaN or Inf" if math.isinf(value) else f"{value:.2%}" if value >= 1e-4 else f"{value:.1e}"

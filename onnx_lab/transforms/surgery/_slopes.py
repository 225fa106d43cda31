"""PRelu nodes, their slopes, and what they are broadcast to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnx_lab.errors import BadInput, TransformError
from onnx_lab.transforms.surgery._find import nodes as find

if TYPE_CHECKING:
    import onnx_ir as ir


def prelus(model: ir.Model, wanted: Sequence[str]) -> list[ir.Node]:
    """The PRelu nodes among these; a word that names one that is none is refused.

    Raises
    ------
    BadInput
    """
    found = find(model, "nodes", wanted, everywhere=True)
    for node in found:
        if node.op_type != "PRelu" or node.domain not in ("", "ai.onnx"):
            raise BadInput(f"nodes: {node.name} is a {node.op_type}", accepted="PRelu nodes", do="nodes='PRelu'")
    return found


def dims(value: ir.Value | None) -> list[int | str | None] | None:
    """A value's axes as plain numbers and names; None where the rank is unknown."""
    if value is None or value.shape is None:
        return None
    return [d if isinstance(d, int) else d.value for d in value.shape]


def slope_of(node: ir.Node, edit: str) -> tuple[ir.Value, list[int]]:
    """The slope and its shape.

    Raises
    ------
    TransformError
        When the shape is not known.
    """
    slope = node.inputs[1]
    shape = dims(slope)
    if slope is None or shape is None or not all(isinstance(d, int) for d in shape):
        raise TransformError(f"surgery.{edit}: the slope of {node.name} has an unknown shape")
    return slope, [d for d in shape if isinstance(d, int)]

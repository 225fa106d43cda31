"""A part of a graph: what lies between tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnx_lab.errors import TransformError
from onnx_lab.transforms._shapes import infer_symbolic_shapes
from onnx_lab.transforms.surgery._find import tensors
from onnx_lab.transforms.surgery._shapes import inform

if TYPE_CHECKING:
    import onnx_ir as ir


def cut(model: ir.Model, begin: Sequence[str] | None, end: Sequence[str]) -> None:
    """Leave of `model` what makes `end` out of `begin` (None: of its inputs), in place; inputs in the order given.

    Raises
    ------
    BadInput
        For a tensor that the graph does not have.
    TransformError
        When the type of a new input is not known.
    """
    import onnx_ir as ir

    own = [v.name or "" for v in model.graph.inputs if v.name not in model.graph.initializers]
    first = tensors(model, "inputs", own if begin is None else begin)
    last = tensors(model, "outputs", end)
    inform(model)
    if any(v.dtype is None or v.shape is None for v in (*first, *last)):
        infer_symbolic_shapes(model)
    for value in first:
        if value.dtype is None:
            raise TransformError(
                f"the type of {value.name} is not known, and an input needs one",
                accepted="a tensor whose type ONNX's inference finds",
                do="a tensor before or behind it",
            )
    kept = {n for n in (v.name for v in first) if n is not None}
    rest = [v for v in model.graph.inputs if v.name in own and v.name not in kept]
    part = ir.convenience.extract(model.graph, [*first, *rest], last)
    for value in list(part.inputs):
        if not value.uses() and not value.is_graph_output() and value.name not in part.initializers:
            part.inputs.remove(value)
    model.graph = part


def expose_all(model: ir.Model, wanted: Iterable[str]) -> None:
    """Make tensors outputs that are none yet, in place."""
    for value in tensors(model, "tensor", wanted):
        if not value.is_graph_output():
            model.graph.outputs.append(value)

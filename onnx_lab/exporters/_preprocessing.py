"""Pre- and post-processing inside a graph: told before somebody normalises the same picture twice.

Read off the first nodes after an input of pictures: additions and multiplications by constants are the module's own
normalisation. https://pytorch.org/vision/stable/models.html gives the usual constants for values from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx_ir as ir

_ARITHMETIC = ("Add", "Sub", "Mul", "Div")
#: What may lie between: it changes no value.
_TRANSPARENT = ("Cast", "Identity", "Transpose")
#: One constant for all channels, or one for each; a longer one is no normalisation.
_MOST_CHANNELS = 4
#: A factor below this, or an offset above, is made for bytes.
_BYTE_FACTOR, _BYTE_OFFSET = 0.05, 20.0


@dataclass(frozen=True)
class _Affine:
    """What becomes of an input ``x``: ``factor * x + offset``, and the nodes that did it."""

    factor: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    nodes: tuple[str, ...] = ()


def sentences(graph: ir.Model) -> list[str]:
    """What the graph does to its pictures before, and to its boxes after the network proper, in sentences.

    Parameters
    ----------
    graph : onnx_ir.Model
        As exported; it is only read.

    Returns
    -------
    list of str
        Empty for most models.
    """
    said = []
    for value in graph.graph.inputs:
        found = _normalisation(value) if _is_picture(value) else None
        if found is None:
            continue
        bytes_ = np.abs(found.factor).max() < _BYTE_FACTOR or np.abs(found.offset).max() > _BYTE_OFFSET
        said.append(
            f"forward normalises {value.name!r} itself ({', '.join(found.nodes)} by constants): the file expects "
            f"{'raw values, 0..255' if bytes_ else 'values from 0 to 1'}; do not normalise them before"
        )
    if any(node.op_type == "NonMaxSuppression" for node in graph.graph.all_nodes()):
        said.append(
            "NonMaxSuppression is in the file: the outputs are final boxes, as many as are found, and its thresholds "
            "are fixed; export backbone and head alone to choose them later"
        )
    return said


def _is_picture(value: ir.Value) -> bool:
    return value.shape is not None and len(value.shape) in (3, 4)


def _normalisation(value: ir.Value) -> _Affine | None:
    """The arithmetic right after an input, where there is any."""
    found, at = _Affine(np.ones(1), np.zeros(1)), value
    while len(uses := list(at.uses())) == 1 and len((node := uses[0].node).outputs) == 1:
        if node.op_type in _ARITHMETIC:
            constant = _constant(node.inputs[1 - uses[0].idx])
            step = None if constant is None else _after(found, node.op_type, constant, first=uses[0].idx == 0)
            if step is None:
                break
            found = step
        elif node.op_type not in _TRANSPARENT:
            break
        at = node.outputs[0]
    idle = np.allclose(found.factor, 1) and np.allclose(found.offset, 0)
    return found if found.nodes and not idle else None


def _after(x: _Affine, op: str, c: npt.NDArray[np.float64], *, first: bool) -> _Affine | None:
    """`x` after one more node; None for a constant divided by it."""
    if op == "Add":
        factor, offset = x.factor, x.offset + c
    elif op == "Sub":
        factor, offset = (x.factor, x.offset - c) if first else (-x.factor, c - x.offset)
    elif op == "Mul" or first:
        scale = c if op == "Mul" else 1 / c
        factor, offset = x.factor * scale, x.offset * scale
    else:
        return None
    return _Affine(factor, offset, (*x.nodes, op))


def _constant(value: ir.Value | None) -> npt.NDArray[np.float64] | None:
    """The few numbers of a constant, flat; None for what is computed, or too long."""
    if value is None:
        return None
    node: Any = value.producer()
    tensor = value.const_value
    if tensor is None and node is not None and node.op_type == "Constant" and "value" in node.attributes:
        tensor = node.attributes["value"].value
    if tensor is None or not 0 < tensor.size <= _MOST_CHANNELS:
        return None
    return np.asarray(tensor.numpy(), np.float64).reshape(-1)

"""prelu_slope: one slope per channel, in the shape in which ONNX broadcasts it along the channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING

from onnx_lab.errors import TransformError
from onnx_lab.model import Model
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._code import FNMATCH, chosen, program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._make import weight
from onnx_lab.transforms.surgery._rewire import drop_unread, is_constant
from onnx_lab.transforms.surgery._shapes import inform
from onnx_lab.transforms.surgery._slopes import dims, prelus, slope_of

if TYPE_CHECKING:
    import onnx_ir as ir


def prelu_slope(
    m: Model, nodes: str | Iterable[str] = "PRelu", *, axis: int = 1, name: str | None = None, check: bool = True
) -> Model:
    """Reshape the slopes of PRelu nodes so that there is one per channel.

    ONNX broadcasts from the last axis: a slope of shape [C] goes along the width of an image. Here it becomes
    [C, 1, 1].

    Parameters
    ----------
    m : Model
    nodes : str or iterable of str, default "PRelu"
        Which ones; by default all.
    axis : int, default 1
        Where the channels are; -1 for images with the channels last.
    name : str, optional
        Default ``"<name>-prelu-slope"``.
    check : bool, default True
        Run both files on random feeds and say how far the answers are apart.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For nodes that are no PRelu.
    TransformError
        When a slope has not as many numbers as there are channels, or the rank is unknown; the node is named.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.insert_node(lab.samples.tiny(), "h1", "PRelu", inputs=["h1", 0.25])
    >>> lab.surgery.prelu_slope(m).lineage[-1].notes["say"][0]
    '0 of 1 slopes reshaped: they are right as they are'
    """
    wanted = names("nodes", nodes)
    return edited(
        m, "prelu_slope", lambda g: _reshape(g, wanted, axis), options={"nodes": list(wanted), "axis": axis},
        name=name, check=check,
    )  # fmt: skip


def _reshape(model: ir.Model, wanted: Sequence[str], axis: int) -> list[str]:
    found = prelus(model, wanted)
    inform(model)
    made: dict[tuple[ir.Value, tuple[int, ...]], ir.Value] = {}
    say = []
    for node in found:
        slope, has = slope_of(node, "prelu_slope")
        wants = _wanted_shape(node, has, axis)
        if wants == has:
            continue
        key = (slope, tuple(wants))
        if key not in made:
            made[key] = _reshaped(model, node, slope, wants)
        node.replace_input_with(1, made[key])
        drop_unread([slope])
        say.append(f"slope of {node.name}: {has} → {wants}")
    right = f"{len(say)} of {len(found)} slopes reshaped"
    return say if say and len(say) < 5 else [right] if say else [f"{right}: they are right as they are"]


def _wanted_shape(node: ir.Node, has: list[int], axis: int) -> list[int]:
    size = prod(has)
    if size == 1:
        return has
    shape = dims(node.inputs[0])
    if shape is None:
        raise TransformError(
            f"surgery.prelu_slope: the rank of what {node.name} reads is unknown", do="infer its shape first: fix axes"
        )
    place = axis + len(shape) if axis < 0 else axis
    if not 0 <= place < len(shape):
        raise TransformError(f"surgery.prelu_slope: {node.name} reads {shape}: it has no axis {axis}")
    if _full(has, shape, place):
        return has
    if size != max(has) or (isinstance(shape[place], int) and shape[place] != size):
        raise TransformError(
            f"surgery.prelu_slope: {node.name} has a slope of {has} for {shape}: axis {axis} has not {size} channels",
            do="axis=-1 where the channels are last",
        )
    return [size, *[1] * (len(shape) - place - 1)]


def _full(has: list[int], shape: list[int | str | None], place: int) -> bool:
    """A slope that is one per channel already, or one per element of several axes."""
    padded = [1] * (len(shape) - len(has)) + has
    many = [i for i, d in enumerate(padded) if d != 1]
    fits = len(padded) == len(shape) and all(d in (1, s) for d, s in zip(padded, shape, strict=True))
    return many == [place] or (len(many) > 1 and fits)


def _reshaped(model: ir.Model, node: ir.Node, slope: ir.Value, wants: list[int]) -> ir.Value:
    import numpy as np
    import onnx_ir as ir

    tensor = ir.convenience.get_const_tensor(slope) if is_constant(slope) else None
    if tensor is not None:
        return weight(model, f"{slope.name}.per_channel", tensor.numpy().reshape(wants))
    shape = weight(model, f"{node.name}.slope_shape", np.array(wants, np.int64))
    made = ir.node("Reshape", [slope, shape], name=f"{node.name}.slope")
    out = made.outputs[0]
    out.name, out.shape, out.type = f"{node.name}.slope", ir.Shape(wants), slope.type
    assert node.graph is not None
    node.graph.insert_before(node, made)
    return out


def plain_code(*, nodes: str | Iterable[str] = "PRelu", axis: int = 1) -> str:
    """The plain code of a prelu_slope step.

    Examples
    --------
    >>> print(plain_code().splitlines()[-3])
        slope.shape, slope.const_value = ir.Shape(array.shape), ir.tensor(array, name=slope.name)
    """
    return program(
        "prelu_slope", chosen(names("nodes", nodes)), "for node in chosen:",
        "    slope, rank = node.inputs[1], len(node.inputs[0].shape)",
        f"    array = slope.const_value.numpy().reshape([-1] + [1] * (rank - 1 - {axis} % rank))",
        "    slope.shape, slope.const_value = ir.Shape(array.shape), ir.tensor(array, name=slope.name)",
        imports=[FNMATCH],
    )  # fmt: skip

"""take_out_normalization: the caller feeds normalized data, and the graph begins behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_lab.errors import TransformError
from onnx_lab.model import Model
from onnx_lab.task import Feeds
from onnx_lab.transforms.surgery._affine import Affine, bypass, chosen, told
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._rewire import stand_in
from onnx_lab.transforms.surgery._shapes import inform

if TYPE_CHECKING:
    import onnx_ir as ir


def take_out_normalization(
    m: Model, tensor: str | None = None, *, name: str | None = None, check: bool = True
) -> Model:
    """Take an input's normalization out of the graph; the card says how to feed it now.

    What the input is multiplied with, divided by and shifted by before the first layer goes. An integer input that is
    cast first becomes a float input.

    Parameters
    ----------
    m : Model
    tensor : str, optional
        The input. Default: each that has one.
    name : str, optional
        Default ``"<name>-take-out-normalization"``.
    check : bool, default True
        Run both files, this one on normalized feeds, and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For an input that the model does not have.
    TransformError
        When no input has a normalization: the node that it meets instead is named.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.put_in_normalization(lab.samples.tiny(), "x", 0.5, 2.0)
    >>> lab.surgery.take_out_normalization(m).lineage[-1].notes["say"][0]
    'x: feed (x - 0.5) / 2 from now on'
    """
    found: list[Affine] = []
    return edited(
        m, "take_out_normalization", lambda g: _take_out(g, tensor, found), options={"tensor": tensor}, name=name,
        promise="same", check=check, translate=lambda feeds: _normalized(feeds, found),
    )  # fmt: skip


def _take_out(model: ir.Model, wanted: str | None, found: list[Affine]) -> list[str]:
    inform(model)
    looked = chosen(model, wanted)
    found.extend(a for a in looked if a.nodes)
    if not found:
        met = "; ".join(f"{a.input.name} goes to {a.ends}" for a in looked) or "it has no inputs"
        raise TransformError(f"surgery.take_out_normalization: no normalization at an input: {met}")
    return [_one(a) for a in found]


def _one(affine: Affine) -> str:
    bypass(affine)
    cast = next((n for n in affine.kept if n.op_type == "Cast"), None)
    if cast is not None and cast.inputs[0] is not None and not _is_float(affine.input):
        affine.input.type = cast.outputs[0].type
        stand_in(cast, cast.outputs[0], cast.inputs[0])
        assert cast.graph is not None
        cast.graph.remove(cast, safe=True)
    name, axis = affine.input.name, affine.first_axis
    where = f", along axis {axis}" if axis is not None else ""
    return f"{name}: feed {_formula(affine)} from now on{where}"


def _is_float(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point()


def _formula(affine: Affine) -> str:
    import numpy as np

    mean, std = -affine.shift / affine.scale, 1 / np.asarray(affine.scale, float)
    return f"({affine.input.name} - {told(mean)}) / {told(std)}"


def _normalized(feeds: Feeds, found: list[Affine]) -> Feeds:
    """The feeds of the original, as the result takes them."""
    import numpy as np

    made: dict[str, Any] = dict(feeds)
    for affine in found:
        name, axis = str(affine.input.name), affine.first_axis
        dtype = affine.input.dtype
        assert dtype is not None
        scale, shift = (affine.shaped(a, axis) for a in (affine.scale, affine.shift))
        made[name] = np.asarray(made[name].astype(float) * scale + shift, dtype.numpy())
    return made


def plain_code(*, tensor: str | None = None) -> str:
    """The plain code of a take_out_normalization step.

    Examples
    --------
    >>> "Sub" in plain_code(tensor="x")
    True
    """
    which = f"[v for v in model.graph.inputs if v.name == {tensor!r}]" if tensor else "model.graph.inputs"
    return program(
        "take_out_normalization", f"for value in {which}:",
        "    end = value",
        "    while len(list(end.consumers())) == 1:",
        "        (node,) = end.consumers()",
        "        if node.op_type in ('Transpose', 'Cast', 'Identity'):",
        "            end = node.outputs[0]",
        "        elif node.op_type in ('Sub', 'Div', 'Mul', 'Add'):  # by constants: note them, and feed that",
        "            node.outputs[0].replace_all_uses_with(end)",
        "            node.graph.remove(node, safe=True)",
        "        else:",
        "            break",
        "passes.RemoveUnusedNodesPass()(model)",
    )  # fmt: skip

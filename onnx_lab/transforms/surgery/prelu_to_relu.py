"""prelu_to_relu: PRelu in operators that every engine and every accelerator has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnx_lab.errors import TransformError
from onnx_lab.model import Model
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._code import FNMATCH, chosen, program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._make import free_name, weight
from onnx_lab.transforms.surgery._rewire import drop_unread, is_constant, stand_in
from onnx_lab.transforms.surgery._shapes import inform
from onnx_lab.transforms.surgery._slopes import prelus
from onnx_lab.transforms.surgery.set_attribute import several

if TYPE_CHECKING:
    import onnx_ir as ir


def prelu_to_relu(
    m: Model, nodes: str | Iterable[str] = "PRelu", *, name: str | None = None, check: bool = True
) -> Model:
    """Write PRelu as ``Relu(x) + Relu(-x) * -slope``: Relu, Neg, Mul and Add.

    Parameters
    ----------
    m : Model
    nodes : str or iterable of str, default "PRelu"
        Which ones; by default all.
    name : str, optional
        Default ``"<name>-prelu-to-relu"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For nodes that are no PRelu.
    TransformError
        When the answers would not be the same, or for numbers without a sign.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.insert_node(lab.samples.tiny(), "h1", "PRelu", inputs=["h1", 0.25])
    >>> lab.surgery.prelu_to_relu(m).header.operators["Neg"]
    1
    """
    wanted = names("nodes", nodes)
    return edited(
        m, "prelu_to_relu", lambda g: _write(g, wanted), options={"nodes": list(wanted)}, name=name, promise="same",
        check=check,
    )  # fmt: skip


def _write(model: ir.Model, wanted: Sequence[str]) -> list[str]:
    found = prelus(model, wanted)
    inform(model)
    minus: dict[ir.Value, ir.Value] = {}
    for node in found:
        _one(model, node, minus)
    return [f"PRelu → Relu, Neg, Relu, Mul, Add: {several([n.name or '?' for n in found])}"]


def _one(model: ir.Model, node: ir.Node, minus: dict[ir.Value, ir.Value]) -> None:
    import onnx_ir as ir

    x, slope = node.inputs
    assert x is not None
    assert slope is not None
    assert node.graph is not None
    if x.dtype is not None and x.dtype.name.startswith("UINT"):
        raise TransformError(f"surgery.prelu_to_relu: {node.name} reads {x.dtype.name.lower()}, which has no negatives")
    made: list[ir.Node] = []

    def write(op: str, *inputs: ir.Value) -> ir.Value:
        new = ir.node(op, list(inputs), name=free_name(model, f"{node.name}.{op}.{len(made)}"))
        new.metadata_props.update(node.metadata_props)
        new.outputs[0].name, new.outputs[0].type = f"{new.name}_out", x.type
        made.append(new)
        return new.outputs[0]

    if slope not in minus or not is_constant(slope):
        tensor = ir.convenience.get_const_tensor(slope) if is_constant(slope) else None
        negated = None if tensor is None else weight(model, f"{slope.name}.minus", -tensor.numpy())
        minus[slope] = negated or write("Neg", slope)
    negative = write("Mul", write("Relu", write("Neg", x)), minus[slope])
    out = write("Add", write("Relu", x), negative)
    out.shape = node.outputs[0].shape
    node.graph.insert_before(node, made)
    stand_in(node, node.outputs[0], out)
    node.graph.remove(node, safe=True)
    drop_unread([slope])


def plain_code(*, nodes: str | Iterable[str] = "PRelu") -> str:
    """The plain code of a prelu_to_relu step.

    Examples
    --------
    >>> "PRelu" in plain_code()
    True
    """
    return program(
        "prelu_to_relu", chosen(names("nodes", nodes)), "for node in chosen:",
        "    x, slope = node.inputs",
        '    positive, minus = ir.node("Relu", [x]), ir.node("Neg", [x])',
        '    negative, down = ir.node("Relu", minus.outputs), ir.node("Neg", [slope])',
        '    scaled = ir.node("Mul", [negative.outputs[0], down.outputs[0]])',
        '    total = ir.node("Add", [positive.outputs[0], scaled.outputs[0]])',
        "    new = [positive, minus, negative, down, scaled, total]",
        "    ir.convenience.replace_nodes_and_values(",
        "        node.graph, node, [node], new, node.outputs, total.outputs",
        "    )", imports=[FNMATCH],
    )  # fmt: skip

"""insert_node: a node made from scratch stands between a tensor and those who read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._arrays import as_option
from onnx_lab.transforms.surgery._code import ending
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._find import nodes as find
from onnx_lab.transforms.surgery._find import tensors
from onnx_lab.transforms.surgery._make import free_name, new_node
from onnx_lab.transforms.surgery._shapes import forget_behind, inform
from onnx_lab.transforms.surgery.make_node import node_code
from onnx_lab.transforms.surgery.set_attribute import several

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir


def insert_node(
    m: Model,
    tensor: str,
    op: str,
    *,
    inputs: Iterable[str | float | np.ndarray[Any, np.dtype[Any]] | None] | None = None,
    attributes: Mapping[str, Any] | None = None,
    to: str | Iterable[str] | None = None,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Put a new node between a tensor and its consumers.

    Parameters
    ----------
    m : Model
    tensor : str
        Its consumers read the new node's first output. Of an output of the model the caller gets the new node's.
    op : str
        An operator of the model's opset, e.g. ``Clip``, or one with its domain: ``com.microsoft::Gelu``.
    inputs : iterable, optional
        What it reads, in the operator's order: names of tensors, numbers, arrays, None for one that is left out.
        Default: the tensor alone.
    attributes : mapping, optional
        Its attributes.
    to : str or iterable of str, optional
        Only these consumers, by name, operator or glob. Default: all, and the model's output.
    name : str, optional
        Default ``"<name>-insert-node"``.
    check : bool, default True
        Run both files on random feeds and say how far the answers are apart.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a tensor, an operator, an attribute or a consumer that is none.
    TransformError
        When a consumer does not take what the new node makes; it is named.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.insert_node(lab.samples.tiny(), "h1", "Clip", inputs=["h1", 0.0, 6.0])
    >>> m.lineage[-1].notes["say"][0]
    'Clip behind h1; first/relu reads it'
    """
    wanted = None if to is None else names("to", to)
    given = [tensor] if inputs is None else list(inputs)
    own = dict(attributes or {})
    return edited(
        m, "insert_node", lambda g: _insert(g, tensor, op, given, own, wanted),
        options={"tensor": tensor, "op": op, "inputs": as_option(given), "attributes": as_option(own),
                 "to": None if wanted is None else list(wanted)},
        name=name, check=check,
    )  # fmt: skip


def _insert(
    model: ir.Model, tensor: str, op: str, given: Sequence[Any], own: Mapping[str, Any],
    wanted: Sequence[str] | None,
) -> list[str]:  # fmt: skip
    inform(model)
    (value,) = tensors(model, "tensor", [tensor])
    readers = _readers(model, value, wanted)
    node = new_node(model, op, given, own, free_name(model, f"{tensor}.{op.rpartition('::')[2]}"))
    out = node.outputs[0]
    out.name = free_name(model, f"{tensor}.{node.op_type.lower()}")
    out.type = value.type
    forget_behind(model, [value])
    for reader, index in readers:
        reader.replace_input_with(index, out)
    at_end = wanted is None and value.is_graph_output()
    if at_end:
        _end(model, value, out)
    model.graph.append(node)
    who = [r.name or r.op_type for r in dict.fromkeys(r for r, _ in readers)] + ["the caller"] * at_end
    return [f"{op} behind {tensor}; {several(who)} read{'s' * (len(who) == 1)} it"]


def _readers(model: ir.Model, value: ir.Value, wanted: Sequence[str] | None) -> list[tuple[ir.Node, int]]:
    uses = [(u.node, u.idx) for u in value.uses()]
    if wanted is None:
        return uses
    chosen = {id(n) for n in find(model, "to", wanted, everywhere=True)}
    found = [(n, i) for n, i in uses if id(n) in chosen]
    if not found:
        who = ", ".join(n.name or n.op_type for n, _ in uses)
        raise BadInput(f"to={', '.join(wanted)}: does not read {value.name}", accepted=who or "nobody reads it")
    return found


def _end(model: ir.Model, value: ir.Value, out: ir.Value) -> None:
    """The new node's result bears the output's name; the tensor before it gets another."""
    outputs = model.graph.outputs
    places = [i for i, v in enumerate(outputs) if v is value]
    label = value.name
    for i in places:
        outputs[i] = out
    if not value.is_graph_input() and not value.is_initializer():
        value.name = free_name(model, f"{label}.before")
        out.name = label


def plain_code(
    *, tensor: str, op: str, inputs: Iterable[Any] | None = None, attributes: Mapping[str, Any] | None = None,
    to: str | Iterable[str] | None = None,
) -> str:  # fmt: skip
    """The plain code of an insert_node step.

    Examples
    --------
    >>> print(plain_code(tensor="h1", op="Clip", inputs=["h1", 0.0, 6.0]).splitlines()[-3])
    model.graph.sort()
    """
    to = None if to is None else names("to", to)
    given = [tensor] if inputs is None else as_option(list(inputs))
    some = f" and (user.name in {list(to)!r} or user.op_type in {list(to)!r})" if to else ""
    return "\n".join(
        [
            *node_code(op, given, as_option(attributes or {}), f"{tensor}.{op.rpartition('::')[2]}"),
            f"old = values[{tensor!r}]",
            "for user, index in list(old.uses()):",
            f"    if user is not node{some}:",
            "        user.replace_input_with(index, node.outputs[0])",
            *([] if to else [
                "for index, value in enumerate(model.graph.outputs):",
                "    if value is old:  # the caller gets the new node's result under the old name",
                '        old.name, node.outputs[0].name = f"{old.name}.before", old.name',
                "        model.graph.outputs[index] = node.outputs[0]",
            ]),
            "model.graph.append(node)",
            "model.graph.sort()",
            *ending("insert_node"),
        ]
    )  # fmt: skip

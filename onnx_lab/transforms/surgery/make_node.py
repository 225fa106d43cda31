"""make_node: a node made from scratch, whose result is a new output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.transforms.surgery._arrays import as_code, as_option
from onnx_lab.transforms.surgery._code import PASSES, ending
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._make import free_name, ir_names, new_node
from onnx_lab.transforms.surgery._shapes import inform

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir


def make_node(
    m: Model,
    op: str,
    inputs: str | float | Iterable[str | float | np.ndarray[Any, np.dtype[Any]] | None],
    output: str,
    *,
    attributes: Mapping[str, Any] | None = None,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Make a node from scratch; its first result is a new output of the model.

    `insert_node` puts one between a tensor and its consumers instead.

    Parameters
    ----------
    m : Model
    op : str
        An operator of the model's opset, e.g. ``Softmax``, or one with its domain: ``com.microsoft::Gelu``.
    inputs : str, number, or iterable of them and arrays
        What it reads, in the operator's order: names of tensors, numbers, arrays, None for one that is left out.
    output : str
        Name of the new output.
    attributes : mapping, optional
        Its attributes.
    name : str, optional
        Default ``"<name>-make-node"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For an operator, a tensor or an attribute that is none, or a name that is taken.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.make_node(lab.samples.tiny(), "Softmax", "logits", "probabilities", attributes={"axis": -1})
    >>> print(*m.outputs)
    logits: float32[batch, 4] probabilities: float32[batch, 4]
    """
    given = _several(inputs)
    own = dict(attributes or {})
    return edited(
        m, "make_node", lambda g: _make(g, op, given, output, own),
        options={"op": op, "inputs": as_option(given), "output": output, "attributes": as_option(own)}, name=name,
        promise="same", check=check,
    )  # fmt: skip


def _several(inputs: Any) -> list[Any]:
    return [inputs] if isinstance(inputs, str | int | float) else list(inputs)


def _make(model: ir.Model, op: str, given: Sequence[Any], output: str, own: Mapping[str, Any]) -> list[str]:
    if output in ir_names(model):
        raise BadInput(f"output={output!r} is a tensor of this model already", accepted="a name that is free")
    inform(model)
    node = new_node(model, op, given, own, free_name(model, f"{output}.{op.rpartition('::')[2]}"))
    node.outputs[0].name = output
    model.graph.append(node)
    model.graph.outputs.append(node.outputs[0])
    _dtype(node)
    return [f"new output {output}: {op} of {', '.join(str(g) for g in given if isinstance(g, str))}"]


def _dtype(node: ir.Node) -> None:
    """An operator that ONNX does not know gives what it takes: an output must have a type."""
    from onnx_lab.transforms.surgery._attributes import schema_of

    first = node.inputs[0] if node.inputs else None
    if first is not None and (node.domain or schema_of(node.op_type, "", {"": 1000}) is None):
        node.outputs[0].type = first.type


def node_code(op: str, inputs: Sequence[Any], attributes: Mapping[str, Any], name: str) -> list[str]:
    """Lines that load the model and make the node."""
    domain, _, bare = op.rpartition("::")
    lines = ["import numpy as np", "import onnx_ir as ir", PASSES, "", 'model = ir.load("model.onnx")']
    lines.append("values = ir.convenience.create_value_mapping(model.graph)")
    words = []
    for i, given in enumerate(inputs):
        if isinstance(given, str) or given is None:
            words.append(f"values[{given!r}]" if given else "None")
            continue
        number = "np.float32" if isinstance(given, float) else "np.int64"
        array = as_code(given, f"{name}.{i}.npy") if isinstance(given, Mapping) else f"{number}({given!r})"
        lines.append(f"c{i} = ir.Value(name={f'{name}.{i}'!r}, const_value=ir.tensor(np.asarray({array})))")
        lines.append(f"model.graph.register_initializer(c{i})")
        words.append(f"c{i}")
    extra = f", domain={domain!r}" if domain else ""
    lines.append(f"node = ir.node({bare!r}, [{', '.join(words)}], {dict(attributes)!r}, name={name!r}{extra})")
    return lines + ([f"model.opset_imports.setdefault({domain!r}, 1)"] if domain else [])


def plain_code(*, op: str, inputs: Any, output: str, attributes: Mapping[str, Any] | None = None) -> str:
    """The plain code of a make_node step.

    Examples
    --------
    >>> print(plain_code(op="Softmax", inputs=["logits"], output="p").splitlines()[-1])
    ir.save(model, "model-make-node.onnx")
    """
    return "\n".join(
        [
            *node_code(
                op, as_option(_several(inputs)), as_option(attributes or {}), f"{output}.{op.rpartition('::')[2]}"
            ),
            f"node.outputs[0].name = {output!r}",
            "model.graph.append(node)",
            "model.graph.outputs.append(node.outputs[0])",
            *ending("make_node"),
        ]
    )

"""add_input: what the file holds, or computes, is fed by the caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.task import Feeds
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._find import tensors
from onnx_lab.transforms.surgery._shapes import inform

if TYPE_CHECKING:
    import onnx_ir as ir

#: Values up to this many bytes are fed back to prove that nothing else changed.
_PROVEN_BYTES = 64_000_000


def add_input(
    m: Model, tensor: str | Iterable[str], *, default: bool = False, name: str | None = None, check: bool = True
) -> Model:
    """Make a weight, a constant, or a tensor that nodes compute an input; what computed it alone goes.

    Parameters
    ----------
    m : Model
    tensor : str or iterable of str
        Names of tensors.
    default : bool, default False
        Keep a weight's value for callers who do not feed it. Engines then fold less.
    name : str, optional
        Default ``"<name>-add-input"``.
    check : bool, default True
        Run both files on random feeds, with the old values fed to the new inputs.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a tensor that the graph does not have, that is an input already, or a default for what nodes compute.
    TransformError
        When the tensor's type is not known.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> [str(s) for s in lab.surgery.add_input(lab.samples.tiny(), "b1").inputs]
    ['x: float32[batch, 8]', 'b1: float32[16]']
    """
    check_model(m)
    wanted = names("tensor", tensor)
    held: Feeds = {}

    def fed(feeds: Feeds) -> Feeds:
        return {**feeds, **held}

    known = [s.name for s in m.inputs]
    if again := [w for w in wanted if w in known]:
        raise BadInput(f"{again[0]} is an input already", accepted="a weight, or what a node makes")
    weights = m.to_ir().graph.initializers
    provable = all(w in weights and _bytes(weights[w]) < _PROVEN_BYTES for w in wanted)
    return edited(
        m,
        "add_input",
        lambda g: _add(g, wanted, default, held),
        options={"tensor": list(wanted), "default": default},
        name=name,
        check=check,
        promise="same" if provable else "may differ",
        translate=fed if provable and not default else None,
    )


def _bytes(value: Any) -> int:
    return 0 if value.const_value is None else int(value.const_value.nbytes)


def _add(model: ir.Model, wanted: Sequence[str], default: bool, held: Feeds) -> list[str]:
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    from onnx_lab.transforms._shapes import infer_symbolic_shapes

    found = tensors(model, "tensor", wanted)
    inform(model)
    if any(v.dtype is None or v.shape is None for v in found):
        infer_symbolic_shapes(model)
    say = []
    for value in found:
        if value.dtype is None:
            raise TransformError(f"the type of {value.name} is not known, and an input needs one")
        computed = value.producer() is not None
        if computed and default:
            raise BadInput(f"{value.name} is computed: it has no value to fall back to", accepted="a weight")
        if value.const_value is not None and _bytes(value) < _PROVEN_BYTES:
            held[value.name or ""] = value.const_value.numpy()
        model.graph.inputs.append(_entrance(model, value, default))
        say.append(f"new input: {value.name}" + (", in the place of what computed it" if computed else ""))
    RemoveUnusedNodesPass()(model)
    return say


def _entrance(model: ir.Model, value: ir.Value, default: bool) -> ir.Value:
    import onnx_ir as ir

    if value.producer() is None:
        if not default:
            model.graph.initializers.pop(value.name or "")
            value.const_value = None
        return value
    name, value.name = value.name, f"{value.name}.before"
    new = ir.Value(name=name, shape=value.shape, type=value.type)
    value.replace_all_uses_with(new, replace_graph_outputs=True)
    return new


def plain_code(*, tensor: str | Sequence[str], default: bool = False) -> str:
    """The plain code of an add_input step.

    Examples
    --------
    >>> print(plain_code(tensor="b1").splitlines()[-1])
    ir.save(model, "model-add-input.onnx")
    """
    return program(
        "add_input",
        "values = ir.convenience.create_value_mapping(model.graph)",
        f"for name in {list(names('tensor', tensor))!r}:",
        "    value = values[name]",
        "    if value.producer() is not None:  # what a node makes: the node keeps another name",
        "        value.name = f'{name}.before'",
        "        new = ir.Value(name=name, shape=value.shape, type=value.type)",
        "        value.replace_all_uses_with(new, replace_graph_outputs=True)",
        "        value = new",
        *([] if default else ["    elif model.graph.initializers.pop(name):", "        value.const_value = None"]),
        "    model.graph.inputs.append(value)",
        "RemoveUnusedNodesPass()(model)",
        imports=["from onnx_ir.passes.common import RemoveUnusedNodesPass"],
    )

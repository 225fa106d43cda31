"""custom_to_function: an operator that no engine knows gets a body, so that every engine runs it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, TransformError, did_you_mean
from onnx_lab.model import Model
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._functions import function_proto
from onnx_lab.transforms.surgery.set_attribute import several

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


def custom_to_function(m: Model, op: str, function: Any, *, name: str | None = None, check: bool = True) -> Model:
    """Give a custom operator a body: its nodes become calls of a function inside the file.

    Every engine runs the file then. `inline_functions` writes the body in the calls' place.

    Parameters
    ----------
    m : Model
    op : str
        The operator, with its domain (``my.domain::Twist``) or without.
    function : onnxscript function, callable, or onnx.FunctionProto
        What it computes. A Python function made of onnxscript's operators will do; its parameters are the operator's
        inputs, and those annotated as ``int`` or ``float`` its attributes.
    name : str, optional
        Default ``"<name>-custom-to-function"``.
    check : bool, default True
        Run both files on random feeds, where the original runs.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For an operator that the model does not have, or what is no function.
    TransformError
        When a node has other inputs, outputs or attributes than the function; it is named.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> from onnx import helper
    >>> m = lab.surgery.replace_op(lab.samples.tiny(), "Relu", "my.own::Twist", check=False)
    >>> body = [helper.make_node("Abs", ["x"], ["y"])]
    >>> twist = helper.make_function("my.own", "Twist", ["x"], ["y"], body, [helper.make_opsetid("", 20)])
    >>> lab.surgery.custom_to_function(m, "Twist", twist).lineage[-1].notes["say"][0]
    'my.own::Twist is a function of 1 nodes: first/relu'
    """
    check_model(m)
    version = dict(m.header.opsets).get("", 20)
    proto = function_proto(function, version)
    return edited(
        m, "custom_to_function", lambda g: _give(g, op, proto),
        options={"op": op, "function": proto.name, "sha256": hashlib.sha256(proto.SerializeToString()).hexdigest()},
        name=name, check=check,
    )  # fmt: skip


def _give(model: ir.Model, op: str, proto: onnx.FunctionProto) -> list[str]:
    import onnx_ir as ir

    nodes = _nodes(model, op)
    domain = nodes[0].domain
    for node in nodes:
        _refuse_misfit(node, proto)
    proto.domain, proto.name = domain, nodes[0].op_type
    function = ir.serde.deserialize_function(proto)
    _refuse_opset(model, function)
    for node in nodes:
        node.overload = ""
    model.functions[function.identifier()] = function
    model.graph.opset_imports.setdefault(domain, 1)
    who = several([n.name or n.op_type for n in nodes])
    return [f"{domain}::{nodes[0].op_type} is a function of {len(proto.node)} nodes: {who}"]


def _nodes(model: ir.Model, op: str) -> list[ir.Node]:
    found = [n for n in model.graph.all_nodes() if op in (n.op_type, f"{n.domain}::{n.op_type}")]
    custom = [n for n in found if n.domain not in ("", "ai.onnx")]
    if not custom:
        known = sorted({f"{n.domain}::{n.op_type}" for n in model.graph.all_nodes() if n.domain not in ("", "ai.onnx")})
        came = f"op={op!r} is one of ONNX's own" if found else f"op={op!r} is no operator of this model"
        raise BadInput(
            came, accepted=", ".join(known) or "a custom operator: this model has none",
            do="rewrite(m, rules) replaces ONNX's own" if found else did_you_mean(op, known) if known else "",
        )  # fmt: skip
    domains = sorted({n.domain for n in custom})
    if len(domains) > 1:
        raise BadInput(f"op={op!r} is in the domains {', '.join(domains)}", do=f"op='{domains[0]}::{op}'")
    return custom


def _refuse_misfit(node: ir.Node, proto: onnx.FunctionProto) -> None:
    taken = {*proto.attribute, *(a.name for a in proto.attribute_proto)}
    extra = sorted(node.attributes.keys() - taken)
    lacking = sorted(set(proto.attribute) - node.attributes.keys())
    title, wants = f"{node.op_type} {node.name or ''}".strip(), f"{proto.name}({', '.join(proto.input)})"
    has = ((len(node.inputs), len(proto.input), "inputs"), (len(node.outputs), len(proto.output), "outputs"))
    reasons = [(n > most, f"has {n} {kind}, and {wants} has {most}") for n, most, kind in has]
    reasons += [
        (bool(extra), f"has attributes that {wants} does not take: {', '.join(extra)}"),
        (bool(lacking), f"has no {', '.join(lacking)}, and {wants} has no default for it"),
    ]
    for wrong, reason in reasons:
        if wrong:
            raise TransformError(f"surgery.custom_to_function: {title} {reason}")


def _refuse_opset(model: ir.Model, function: ir.Function) -> None:
    own, other = model.opset_imports.get("", 0), function.opset_imports.get("", 0)
    if other > own > 0:
        raise TransformError(
            f"surgery.custom_to_function: the function is written in opset {other}, the model in {own}",
            do=f"write it with onnxscript's opset{own}, or raise the model's opset first",
        )


def plain_code(*, op: str, function: Any, sha256: str = "") -> str:
    """The plain code of a custom_to_function step; the function is your own.

    Examples
    --------
    >>> print(plain_code(op="my.own::Twist", function="twist").splitlines()[-3])
    model.functions[function.identifier()] = function
    """
    function = function if isinstance(function, str) else getattr(function, "name", None) or function.__name__
    domain, _, bare = op.rpartition("::")
    return program(
        "custom_to_function", f"proto = ...  # {function}.to_function_proto(); sha256 {sha256 or 'unknown'}",
        f"proto.domain, proto.name = {domain or '<the domain>'!r}, {bare!r}", "function = ir.from_proto(proto)",
        "model.functions[function.identifier()] = function",
    )  # fmt: skip

"""replace_op: an operator by another that takes as many inputs and gives as many outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import TransformError
from onnx_lab.model import Model
from onnx_lab.produce import options_json
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._attributes import attributes_for, schema_of
from onnx_lab.transforms.surgery._code import FNMATCH, chosen, program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._find import nodes as find
from onnx_lab.transforms.surgery._make import domain_and_op, import_domain
from onnx_lab.transforms.surgery._shapes import settle_from
from onnx_lab.transforms.surgery.set_attribute import several

if TYPE_CHECKING:
    import onnx_ir as ir


def replace_op(
    m: Model,
    nodes: str | Iterable[str],
    op: str,
    *,
    attributes: Mapping[str, Any] | None = None,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Make nodes another operator with the same inputs and outputs.

    Attributes that the new operator has too are kept, the others go, and the sentence on the card names them.

    Parameters
    ----------
    m : Model
    nodes : str or iterable of str
        Nodes by name, operator, module, or a glob over them; in sub-graphs too.
    op : str
        The new operator, e.g. ``LeakyRelu``, or with its domain: ``com.microsoft::Gelu``.
    attributes : mapping, optional
        Attributes to set on it.
    name : str, optional
        Default ``"<name>-replace-op"``.
    check : bool, default True
        Run both files on random feeds and say how far the answers are apart.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For nodes that are not there, an operator that ONNX does not have, an attribute that it does not have.
    TransformError
        When a node has too many or too few inputs or outputs for it, or a type that it does not take.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.replace_op(lab.samples.tiny(), "Relu", "Elu", attributes={"alpha": 0.5})
    >>> m.header.operators["Elu"]
    1
    """
    wanted = names("nodes", nodes)
    given = dict(attributes or {})
    return edited(
        m, "replace_op", lambda g: _replace(g, wanted, op, given),
        options={"nodes": list(wanted), "op": op, "attributes": options_json(**given)}, name=name, check=check,
    )  # fmt: skip


def _replace(model: ir.Model, wanted: Sequence[str], word: str, given: Mapping[str, Any]) -> list[str]:
    found = find(model, "nodes", wanted, everywhere=True)
    domain, op = domain_and_op(word, model.opset_imports)
    import_domain(model, domain)
    gone: set[str] = set()
    was = sorted({n.op_type for n in found})
    for node in found:
        _refuse_signature(node, domain, op, model.opset_imports)
        node.domain, node.op_type, node.overload = domain, op, ""
        schema = schema_of(op, domain, model.opset_imports)
        if schema is not None:
            gone |= {a for a in node.attributes if a not in schema.attributes}
            for a in gone & node.attributes.keys():
                del node.attributes[a]
        for attribute in attributes_for(node, given, model.opset_imports):
            node.attributes[attribute.name] = attribute
    settle_from(model, found)
    say = [f"{' and '.join(was)} → {word} on {several([n.name or '?' for n in found])}"]
    return say + ([f"attributes that {op} does not have are gone: {', '.join(sorted(gone))}"] if gone else [])


def _refuse_signature(node: ir.Node, domain: str, op: str, opsets: Mapping[str, int]) -> None:
    schema = schema_of(op, domain, opsets)
    if schema is None:
        return
    ends = (
        ("input", sum(v is not None for v in node.inputs), schema.min_input, schema.max_input),
        ("output", sum(bool(v.uses()) or v.is_graph_output() for v in node.outputs), schema.min_output,
         schema.max_output),
    )  # fmt: skip
    for kind, has, least, most in ends:
        if not (kind == "output" or least <= has) or has > most:
            takes = str(least) if least == most else f"{least} to {most}" if most < 100 else f"{least} or more"
            raise TransformError(
                f"surgery.replace_op: {node.op_type} {node.name} has {has} {kind}s and {op} has {takes}",
                do="insert_node makes a node with other inputs",
            )


def plain_code(*, nodes: str | Iterable[str], op: str, attributes: Mapping[str, Any] | None = None) -> str:
    """The plain code of a replace_op step.

    Examples
    --------
    >>> print(plain_code(nodes="Relu", op="Elu").splitlines()[-3])
        node.domain, node.op_type = '', 'Elu'
    """
    domain, _, bare = op.rpartition("::")
    lines = [f"    node.domain, node.op_type = {domain!r}, {bare!r}"]
    if attributes:
        lines.append(f"    for attribute in ir.convenience.convert_attributes({dict(attributes)!r}):")
        lines.append("        node.attributes[attribute.name] = attribute")
    return program("replace_op", chosen(names("nodes", nodes)), "for node in chosen:", *lines, imports=[FNMATCH])

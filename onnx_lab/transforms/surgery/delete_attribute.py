"""delete_attribute: an attribute of nodes goes, so that the operator's default holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnx_lab.errors import TransformError
from onnx_lab.model import Model
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._attributes import no_such, schema_of, shown
from onnx_lab.transforms.surgery._code import FNMATCH, chosen, program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._find import nodes as find
from onnx_lab.transforms.surgery._shapes import settle_from
from onnx_lab.transforms.surgery.set_attribute import several

if TYPE_CHECKING:
    import onnx_ir as ir


def delete_attribute(
    m: Model, nodes: str | Iterable[str], attribute: str, *, name: str | None = None, check: bool = True
) -> Model:
    """Delete an attribute of nodes: the operator's default holds then.

    Parameters
    ----------
    m : Model
    nodes : str or iterable of str
        Nodes by name, operator, module, or a glob over them; in sub-graphs too.
    attribute : str
    name : str, optional
        Default ``"<name>-delete-attribute"``.
    check : bool, default True
        Run both files on random feeds and say how far the answers are apart.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For nodes that are not there, or an attribute that none of them has.
    TransformError
        When the operator requires it.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.replace_op(lab.samples.tiny(), "Relu", "LeakyRelu", attributes={"alpha": 0.2})
    >>> lab.surgery.delete_attribute(m, "LeakyRelu", "alpha").lineage[-1].notes["say"][0]
    'alpha=0.2 is gone from LeakyRelu first/relu'
    """
    wanted = names("nodes", nodes)
    return edited(
        m, "delete_attribute", lambda g: _delete(g, wanted, attribute),
        options={"nodes": list(wanted), "attribute": attribute}, name=name, check=check,
    )  # fmt: skip


def _delete(model: ir.Model, wanted: Sequence[str], attribute: str) -> list[str]:
    found = find(model, "nodes", wanted, everywhere=True)
    own = [n for n in found if attribute in n.attributes]
    if not own:
        raise no_such(attribute, found, model.opset_imports)
    gone: dict[str, list[str]] = {}
    for node in own:
        schema = schema_of(node.op_type, node.domain, model.opset_imports)
        if schema is not None and attribute in schema.attributes and schema.attributes[attribute].required:
            raise TransformError(
                f"surgery.delete_attribute: {node.op_type} {node.name} requires {attribute}",
                do=f"set_attribute(m, {node.name!r}, {attribute!r}, ...)",
            )
        gone.setdefault(shown(node.attributes.pop(attribute)), []).append(f"{node.op_type} {node.name or ''}".strip())
    settle_from(model, own)
    return [f"{attribute}={value} is gone from {several(where)}" for value, where in gone.items()]


def plain_code(*, nodes: str | Iterable[str], attribute: str) -> str:
    """The plain code of a delete_attribute step.

    Examples
    --------
    >>> print(plain_code(nodes="LeakyRelu", attribute="alpha").splitlines()[-3])
        node.attributes.pop('alpha', None)
    """
    return program(
        "delete_attribute", chosen(names("nodes", nodes)), "for node in chosen:",
        f"    node.attributes.pop({attribute!r}, None)", imports=[FNMATCH],
    )  # fmt: skip

"""set_attribute: an attribute of nodes gets another value, or comes to be; typed by the operator's schema."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._attributes import attribute_of, guessed, kind_of, no_such, schema_of, shown, type_name
from onnx_lab.transforms.surgery._code import FNMATCH, chosen, program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._find import nodes as find
from onnx_lab.transforms.surgery._shapes import settle_from

if TYPE_CHECKING:
    import onnx_ir as ir


def set_attribute(
    m: Model,
    nodes: str | Iterable[str],
    attribute: str,
    value: int | float | str | Iterable[int | float | str],
    *,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Set an attribute of nodes; one that is not there yet is added.

    Parameters
    ----------
    m : Model
    nodes : str or iterable of str
        Nodes by name, operator, module, or a glob over them; in sub-graphs too.
    attribute : str
        Its name, e.g. ``epsilon``. Of the chosen nodes, those whose operator has it are changed.
    value : int, float, str, or iterable of them
        What the operator's schema says: text is read as a number or a list where that is asked.
    name : str, optional
        Default ``"<name>-set-attribute"``.
    check : bool, default True
        Run both files on random feeds and say how far the answers are apart.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For nodes that are not there, an attribute that their operators do not have, a value of another type.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.replace_op(lab.samples.tiny(), "Relu", "LeakyRelu")
    >>> lab.surgery.set_attribute(m, "LeakyRelu", "alpha", 0.2).lineage[-1].notes["say"][0]
    'alpha: 0.01 (the default) → 0.2 on LeakyRelu first/relu'
    """
    wanted = names("nodes", nodes)
    plain = value if isinstance(value, int | float | str) else list(value)
    return edited(
        m, "set_attribute", lambda g: _set(g, wanted, attribute, plain),
        options={"nodes": list(wanted), "attribute": attribute, "value": plain}, name=name, check=check,
    )  # fmt: skip


def _set(model: ir.Model, wanted: Sequence[str], attribute: str, value: Any) -> list[str]:
    found = find(model, "nodes", wanted, everywhere=True)
    opsets = model.opset_imports
    kinds = {id(n): kind_of(n, attribute, value, opsets) for n in found}
    own = [n for n in found if kinds[id(n)] is not None]
    if not own:
        raise no_such(attribute, found, opsets)
    changes: dict[str, list[str]] = {}
    for node in own:
        after = attribute_of(attribute, str(kinds[id(node)]), value)
        change = f"{_before(node, attribute, opsets)} → {shown(after)}"
        changes.setdefault(change, []).append(f"{node.op_type} {node.name or ''}".strip())
        _refuse_reference(node, attribute)
        node.attributes[attribute] = after
    say = [f"{attribute}: {change} on {several(where)}" for change, where in changes.items()]
    if settle_from(model, own):
        say.append("shapes behind it are others now")
    return say


def _before(node: ir.Node, attribute: str, opsets: Any) -> str:
    there = node.attributes.get(attribute)
    schema = schema_of(node.op_type, node.domain, opsets)
    if there is not None or schema is None:
        return shown(there)
    default = schema.attributes[attribute].default_value
    import onnx

    if default.type == onnx.AttributeProto.UNDEFINED:
        return "not set"
    value = onnx.helper.get_attribute_value(default)
    return f"{value:.6g} (the default)" if isinstance(value, float) else f"{_text(value)} (the default)"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _refuse_reference(node: ir.Node, attribute: str) -> None:
    there = node.attributes.get(attribute)
    if there is not None and there.is_ref():
        raise BadInput(f"{attribute} of {node.name} is given by the function around it", do="inline_functions first")


def several(things: Sequence[str]) -> str:
    """A few of them by name, many by their number.

    Examples
    --------
    >>> several(["a", "b"]), several(list("abcdef"))
    ('a, b', 'a, b, c and 3 more')
    """
    return ", ".join(things) if len(things) < 5 else f"{', '.join(things[:3])} and {len(things) - 3} more"


def plain_code(*, nodes: str | Iterable[str], attribute: str, value: Any) -> str:
    """The plain code of a set_attribute step.

    Examples
    --------
    >>> print(plain_code(nodes="LeakyRelu", attribute="alpha", value=1).splitlines()[-3])
            node.attributes['alpha'] = ir.Attr('alpha', ir.AttributeType.FLOAT, 1.0)
    """
    words = names("nodes", nodes)
    kind = _known_kind(words, attribute) or guessed(value)
    made = attribute_of(attribute, kind, value).value
    return program(
        "set_attribute",
        chosen(words),
        "for node in chosen:",
        "    # of an operator of ONNX's own, the schema says whether it has this attribute",
        '    schema = None if node.domain else onnx.defs.get_schema(node.op_type, model.opset_imports[""])',
        f"    if schema is None or {attribute!r} in schema.attributes:",
        f"        node.attributes[{attribute!r}] = ir.Attr({attribute!r}, ir.AttributeType.{kind}, {made!r})",
        imports=[FNMATCH, "import onnx"],
    )


def _known_kind(words: Iterable[str], attribute: str) -> str | None:
    """The attribute's type by the newest schema of an operator among the words, or of any operator that has it."""
    import onnx

    schemas = {s.name: s for s in onnx.defs.get_all_schemas() if attribute in s.attributes}
    own = [schemas[w] for w in words if w in schemas] or list(schemas.values())
    kinds = {type_name(s.attributes[attribute]) for s in own}
    return kinds.pop() if len(kinds) == 1 else None

"""Attributes as an operator's schema types them: a word of a notebook line becomes a number, a list, a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

_WORDS = {
    "FLOAT": "a number",
    "INT": "a whole number",
    "STRING": "text",
    "FLOATS": "numbers",
    "INTS": "whole numbers",
    "STRINGS": "texts",
    "TENSOR": "an array",
}


_LISTS = frozenset({"FLOATS", "INTS", "STRINGS"})


def schema_of(op: str, domain: str, opsets: Mapping[str, int]) -> onnx.defs.OpSchema | None:
    """The schema of an operator in a model with these opsets; None for one that ONNX does not define.

    Examples
    --------
    >>> schema_of("Relu", "", {"": 20}).since_version
    14
    """
    import onnx

    plain = "" if domain == "ai.onnx" else domain
    version = opsets.get(plain, opsets.get(domain, 1))
    try:
        return onnx.defs.get_schema(op, version, plain)
    except onnx.defs.SchemaError:
        return None


def kind_of(node: ir.Node, attribute: str, value: Any, opsets: Mapping[str, int]) -> str | None:
    """The type of this attribute on this operator (``FLOAT``, ``INTS``, ...); None when the operator has no such one.

    Of an operator without a schema it is the type of the attribute that is there, else that of the value.
    """
    schema = schema_of(node.op_type, node.domain, opsets)
    if schema is not None:
        return type_name(schema.attributes[attribute]) if attribute in schema.attributes else None
    there = node.attributes.get(attribute)
    return there.type.name if there is not None else guessed(value)


def guessed(value: Any) -> str:
    """The type that a Python value stands for, where no schema says.

    Examples
    --------
    >>> guessed(1), guessed(0.5), guessed([1, 2]), guessed("x")
    ('INT', 'FLOAT', 'INTS', 'STRING')
    """
    if isinstance(value, str):
        return "STRING"
    if isinstance(value, bool | int):
        return "INT"
    if isinstance(value, float):
        return "FLOAT"
    if isinstance(value, list | tuple):
        kinds = {guessed(v) for v in value}
        return "STRINGS" if "STRING" in kinds else "FLOATS" if "FLOAT" in kinds else "INTS"
    return "TENSOR"


def attribute_of(name: str, kind: str, value: Any) -> ir.Attr:
    """An attribute of this type.

    Raises
    ------
    BadInput
        For a value that is not of the type.

    Examples
    --------
    >>> attribute_of("epsilon", "FLOAT", "1e-3").value
    0.001
    >>> attribute_of("axes", "INTS", "1,2").value
    (1, 2)
    """
    import numpy as np
    import onnx_ir as ir

    if kind not in _WORDS:
        raise BadInput(f"attribute {name!r} is a {kind.lower()}", accepted="numbers, text, lists of them, arrays")
    try:
        if kind == "TENSOR":
            return ir.Attr(name, ir.AttributeType.TENSOR, ir.tensor(np.asarray(value), name=name))
        one = _READERS[kind[0]]
        made = [one(v) for v in _items(value)] if kind.endswith("S") else one(value)
    except (TypeError, ValueError):
        raise BadInput(f"{name}={value!r}", accepted=f"{_WORDS[kind]} (the operator's schema: {kind})") from None
    return ir.Attr(name, ir.AttributeType[kind], made)


def attributes_for(node: ir.Node, given: Mapping[str, Any], opsets: Mapping[str, int]) -> list[ir.Attr]:
    """`given` as attributes of `node`, each of the type that its operator says.

    Raises
    ------
    BadInput
        For one that the operator does not have.
    """
    found = []
    for name, value in given.items():
        kind = kind_of(node, name, value, opsets)
        if kind is None:
            raise no_such(name, [node], opsets)
        found.append(attribute_of(name, kind, value))
    return found


def no_such(attribute: str, nodes: Iterable[ir.Node], opsets: Mapping[str, int]) -> BadInput:
    """The error for an attribute that none of these nodes' operators has."""
    operators = {n.op_type: n for n in nodes}
    known = {a for n in operators.values() for a in getattr(schema_of(n.op_type, n.domain, opsets), "attributes", ())}
    return BadInput(
        f"{', '.join(sorted(operators))} has no attribute {attribute!r}",
        accepted=", ".join(sorted(known)) or "none: this operator has no attributes",
        do=did_you_mean(attribute, sorted(known)) if known else "",
    )


def shown(attribute: ir.Attr | None) -> str:
    """An attribute's value in a sentence.

    Examples
    --------
    >>> shown(attribute_of("alpha", "FLOAT", 0.2)), shown(None)
    ('0.2', 'not set')
    """
    if attribute is None:
        return "not set"
    if attribute.type.name in ("FLOAT", "INT", "STRING"):
        return f"{attribute.value:.6g}" if isinstance(attribute.value, float) else str(attribute.value)
    return str(list(attribute.value)) if attribute.type.name in _LISTS else "a tensor"


def _whole(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError(value)
    return int(value) if not isinstance(value, float | str) else int(number)


_READERS: dict[str, Callable[[Any], Any]] = {"F": float, "I": _whole, "S": str}


def type_name(attribute: onnx.defs.OpSchema.Attribute) -> str:
    """``FLOAT`` and the like: the type that a schema gives an attribute."""
    return str(attribute.type).rpartition(".")[2]


def _items(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [p.strip() for p in value.strip("[]() ").split(",") if p.strip()]
    return list(value) if isinstance(value, Iterable) else [value]

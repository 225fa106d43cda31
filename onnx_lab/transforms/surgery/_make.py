"""A node from scratch: its operator, what it reads (tensors by name, numbers, arrays), its attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.transforms.surgery._attributes import attributes_for, schema_of
from onnx_lab.transforms.surgery._find import tensors

if TYPE_CHECKING:
    import onnx_ir as ir


def domain_and_op(word: str, opsets: Mapping[str, int]) -> tuple[str, str]:
    """``com.microsoft::Gelu`` in its two parts; an operator without a domain must be one of ONNX's.

    Raises
    ------
    BadInput
        For an operator of ONNX that the model's opset does not have.

    Examples
    --------
    >>> domain_and_op("com.microsoft::Gelu", {"": 20}), domain_and_op("Gelu", {"": 20})
    (('com.microsoft', 'Gelu'), ('', 'Gelu'))
    """
    import onnx

    domain, _, op = word.rpartition("::")
    if domain not in ("", "ai.onnx"):
        return domain, op
    if schema_of(op, "", opsets) is None:
        version = opsets.get("", 1)
        known = sorted({s.name for s in onnx.defs.get_all_schemas() if s.domain == "" and s.since_version <= version})
        near = did_you_mean(op, known)
        newer = schema_of(op, "", {"": onnx.defs.onnx_opset_version()})
        raise BadInput(
            f"operator {op!r} is not in opset {version}" + (f"; it came with {newer.since_version}" if newer else ""),
            accepted="an operator of the model's opset, or one with its domain: com.microsoft::Gelu",
            do="raise the opset first" if newer else near if near.startswith("did") else "onnx.ai/onnx/operators",
        )
    return "", op


def import_domain(model: ir.Model, domain: str) -> None:
    """The model says which version of the domain it means."""
    model.opset_imports.setdefault(domain, 1)


def new_node(model: ir.Model, word: str, inputs: Iterable[Any], attributes: Mapping[str, Any], name: str) -> ir.Node:
    """A node that is in no graph yet; numbers and arrays among its inputs become weights.

    Raises
    ------
    BadInput
        For an operator, a tensor or an attribute that is none, or a wrong number of inputs.
    """
    import onnx_ir as ir

    domain, op = domain_and_op(word, model.opset_imports)
    import_domain(model, domain)
    given = list(inputs)
    schema = schema_of(op, domain, model.opset_imports)
    if schema is not None and not schema.min_input <= len(given) <= schema.max_input:
        takes = ", ".join(i.name for i in schema.inputs)
        raise BadInput(f"{op} with {len(given)} inputs", accepted=f"{schema.min_input} or more of: {takes}")
    first = next((tensors(model, "inputs", [g])[0] for g in given if isinstance(g, str) and g), None)
    values = [_value(model, g, first, f"{name}.{i}") for i, g in enumerate(given)]
    node = ir.node(op, values, domain=domain, name=name)
    for attribute in attributes_for(node, attributes, model.opset_imports):
        node.attributes[attribute.name] = attribute
    missing = [a for a, s in (schema.attributes if schema else {}).items() if s.required and a not in node.attributes]
    if missing:
        raise BadInput(f"{op} without {', '.join(missing)}", accepted="all that it requires", do="attributes={...}")
    return node


def _value(model: ir.Model, given: Any, like: ir.Value | None, name: str) -> ir.Value | None:
    if given is None or (isinstance(given, str) and not given):
        return None
    if isinstance(given, str):
        return tensors(model, "inputs", [given])[0]
    import numpy as np

    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise BadInput(f"inputs: {given!r}", accepted="names of tensors, numbers, arrays")
    # a number takes the type of the tensor beside it, as it does in Python
    if not isinstance(given, np.ndarray | np.generic) and like is not None and like.dtype is not None:
        array = array.astype(like.dtype.numpy()) if like.dtype.is_floating_point() or array.dtype.kind != "f" else array
    return weight(model, name, array)


def weight(model: ir.Model, name: str, array: Any) -> ir.Value:
    """A new weight of the main graph, under a name that is free."""
    import onnx_ir as ir

    free = free_name(model, name)
    value = ir.Value(name=free, const_value=ir.tensor(array, name=free))
    value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
    model.graph.register_initializer(value)
    return value


def free_name(model: ir.Model, name: str) -> str:
    """`name`, or with a number where a node or a value has it."""
    taken = {n.name for n in model.graph.all_nodes()} | set(ir_names(model))
    free, i = name, 1
    while free in taken:
        free, i = f"{name}.{i}", i + 1
    return free


def ir_names(model: ir.Model) -> set[str]:
    """Names of all values, those of sub-graphs too."""
    import onnx_ir as ir

    return {n for g in model.graphs() for n in ir.convenience.create_value_mapping(g)}

"""Carry what a tool would lose: the user's module at each node, and the file's own metadata.

Tools that rebuild a graph drop node metadata. Values keep their names, so a node is recognized by what it produces;
a node that is new belongs to the module of the node that consumes its result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_lab._metadata import NAME_SCOPES_KEY

if TYPE_CHECKING:
    import onnx_ir as ir

#: Metadata that tools write about themselves.
_NOISE = ("onnxsim.", "onnx.infer", "onnx.quant.")


def carry_metadata(before: ir.Model, after: ir.Model) -> ir.Model:
    """Give `after` the metadata of `before`, in place; returns `after`.

    Examples
    --------
    >>> import onnx_ir as ir, onnx_lab as lab
    >>> old, new = lab.samples.tiny().to_ir(), lab.samples.tiny().to_ir()
    >>> old.graph[0].metadata_props["where"] = "first"
    >>> carry_metadata(old, new).graph[0].metadata_props["where"]
    'first'
    """
    by_output = {o.name: n.metadata_props for n in before.graph.all_nodes() for o in n.outputs if o.name}
    by_name = {n.name: n.metadata_props for n in before.graph.all_nodes() if n.name}
    for node in after.graph.all_nodes():
        known = next((by_output[o.name] for o in node.outputs if o.name in by_output), None)
        node.metadata_props.update(known or by_name.get(node.name or "", {}))
    fill_scopes(after)
    kept = {k: v for k, v in after.metadata_props.items() if not k.startswith(_NOISE)}
    after.metadata_props.clear()
    after.metadata_props.update({**before.metadata_props, **kept})
    return after


def fill_scopes(model: ir.Model) -> None:
    """Nodes without a module get that of their first consumer that has one."""
    for node in reversed(list(model.graph)):
        if NAME_SCOPES_KEY in node.metadata_props:
            continue
        scopes = (c.metadata_props.get(NAME_SCOPES_KEY) for o in node.outputs for c in o.consumers())
        if scope := next((s for s in scopes if s), None):
            node.metadata_props[NAME_SCOPES_KEY] = scope

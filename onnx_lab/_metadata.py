"""What exporters leave in node metadata, and what of it may travel with the file.

Scopes name a node by the user's own module (``encoder.layer.3.attention``) and stay. Stack traces hold the folders
and source lines of whoever exported: they tell a stranger more than they should, and cost half of a small file.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

#: Node metadata that holds paths and source lines of the exporting machine.
STACK_TRACE_KEY = "pkg.torch.onnx.stack_trace"
#: Node metadata with the path of modules that a node came from, outermost first, as the repr of a list of str.
NAME_SCOPES_KEY = "pkg.torch.onnx.name_scopes"


def strip_stack_traces(graph: ir.Model) -> int:
    """Remove the stack traces from all nodes, in place; return how many there were.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> strip_stack_traces(lab.samples.tiny().to_ir())
    0
    """
    removed = 0
    parts: list[ir.Graph | ir.Function] = [graph.graph, *graph.functions.values()]
    for part in parts:
        for node in part.all_nodes():
            removed += node.metadata_props.pop(STACK_TRACE_KEY, None) is not None
    return removed


def module_of(node: ir.Node) -> str:
    """The user's own module that a node came from, e.g. ``bert.encoder.layer.0.attention``; "" when unknown.

    Read from the scopes of the dynamo exporter, else from the node name that the TorchScript exporter writes.

    Examples
    --------
    >>> import onnx_ir as ir
    >>> module_of(ir.node("Softmax", [], name="/bert/encoder/layer.0/attention/Softmax"))
    'bert.encoder.layer.0.attention'
    """
    return module_named(node.name or "", node.metadata_props.get(NAME_SCOPES_KEY, ""))


def module_named(name: str, scopes: str = "") -> str:
    """The module of a node that bears this name and these scopes (the text of `NAME_SCOPES_KEY`); "" when unknown.

    Examples
    --------
    >>> module_named("node_linear", "['', 'bert', 'bert.pooler', 'linear']")
    'bert.pooler'
    """
    try:
        found = ast.literal_eval(scopes) if scopes else []
        if found:
            return next((s for s in reversed(found[:-1]) if s), "")  # the last one names the call, not a module
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    return ".".join(p for p in name.split("/")[:-1] if p) if name.startswith("/") else ""


def lies_in(module: str, word: str) -> bool:
    """Whether a node of this module is meant by the word: the module itself, one around it, or a glob over its path.

    Examples
    --------
    >>> lies_in("bert.encoder.layer.0", "bert.encoder"), lies_in("bert.encoder.layer.0", "*.layer.0")
    (True, True)
    >>> lies_in("bert.encoder.layer.0", "bert.enc"), lies_in("", "*")
    (False, False)
    """
    return bool(module) and (module == word or module.startswith(f"{word}.") or fnmatchcase(module, word))


def operator_of(node: ir.Node) -> str:
    """``MatMul``; of another domain than ONNX's own ``com.microsoft::Attention``."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"


def shared_path(paths: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The innermost module that holds all of these modules, each given by its parts.

    Examples
    --------
    >>> shared_path(["bert.layer.0.attention".split("."), "bert.layer.0.output".split(".")])
    ('bert', 'layer', '0')
    """
    shared: list[str] = []
    for level in zip(*paths, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return tuple(shared)

"""Nodes and tensors that an edit's caller names; a word that means nothing is answered with the nearest that would."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from onnx_lab._metadata import lies_in, module_of, operator_of
from onnx_lab.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    import onnx_ir as ir

_NEAR = 40


def nodes(model: ir.Model, option: str, wanted: Iterable[str], *, everywhere: bool = False) -> list[ir.Node]:
    """Nodes of the main graph by name, glob, operator (``PRelu``, ``com.microsoft::Gelu``) or module, in graph order.

    With `everywhere` those of sub-graphs (If, Loop, Scan) too.

    Raises
    ------
    BadInput
        For a word that means no node.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> [n.name for n in nodes(lab.samples.tiny().to_ir(), "nodes", ["MatMul"])]
    ['first/matmul', 'second/matmul']
    """
    chosen: set[int] = set()
    own = list(model.graph.all_nodes() if everywhere else model.graph)
    for word in wanted:
        found = {id(n) for n in own if means(word, n)}
        if not found:
            known = sorted({n.op_type for n in own} | {n.name for n in own if n.name})
            near = did_you_mean(word, known)
            raise BadInput(
                f"{option}: {word!r} is no node, operator or module of this model",
                accepted="node names, operators, modules, or globs over them, e.g. '*/layer.0/*'",
                do=near if near.startswith("did") or len(known) < _NEAR else "lab.inspect(m) lists the operators",
            )
        chosen |= found
    return [n for n in own if id(n) in chosen]


def means(word: str, node: ir.Node) -> bool:
    """Whether a word names this node: its name, operator or module, or a glob over one of them."""
    texts = (node.name, operator_of(node), node.op_type)
    return node.name == word or any(t and fnmatchcase(t, word) for t in texts) or lies_in(module_of(node), word)


def tensors(model: ir.Model, option: str, wanted: Iterable[str]) -> list[ir.Value]:
    """Values of the main graph by name: inputs, weights, and what nodes make.

    Raises
    ------
    BadInput
        For a name that the graph does not have.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> [v.name for v in tensors(lab.samples.tiny().to_ir(), "tensor", ["x", "logits"])]
    ['x', 'logits']
    """
    graph = model.graph
    known = {v.name: v for v in (*graph.inputs, *graph.initializers.values())}
    known |= {v.name: v for n in graph for v in n.outputs if v.name}
    found = []
    for word in wanted:
        if word not in known:
            near = did_you_mean(word, [k for k in known if k])
            raise BadInput(
                f"{option}: the graph has no tensor {word!r}",
                accepted="the name of an input, a weight, or what a node makes",
                do=near if near.startswith("did") or len(known) < _NEAR else "lab.inspect(m) shows names",
            )
        found.append(known[word])
    return found

"""Node counts before and after, glue apart, as one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx_lab.model import GLUE

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Counts:
    """Nodes of a main graph, and how many of them only move or reshape data."""

    nodes: int
    glue: int


def count_nodes(model: ir.Model) -> Counts:
    """Count the nodes of the main graph.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> count_nodes(lab.samples.tiny().to_ir())
    Counts(nodes=6, glue=1)
    """
    kinds = [n.op_type for n in model.graph]
    return Counts(len(kinds), sum(k in GLUE for k in kinds))


def size_sentence(before: Counts, after: Counts) -> str:
    """What became of the nodes, in one sentence.

    Examples
    --------
    >>> size_sentence(Counts(288, 100), Counts(339, 151))
    'the graph grew: 288 → 339 nodes (glue 100 → 151)'
    """
    if before == after:
        return f"still {after.nodes} nodes ({after.glue} of them glue)"
    grew = "the graph grew: " if after.nodes > before.nodes else ""
    return f"{grew}{before.nodes} → {after.nodes} nodes (glue {before.glue} → {after.glue})"

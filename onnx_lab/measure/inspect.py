"""inspect: what is in this file. No engine is opened and no external weights are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab._blocks import fused_blocks, open_blocks
from onnx_lab._memory import WORTH_GIVING_BYTES, give_memory_back
from onnx_lab._metadata import module_of
from onnx_lab.card import Card, Table, megabytes
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.model import GLUE, Model, Step, TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir

_SHOWN = 8


@dataclass(frozen=True)
class Weight:
    """One constant tensor of the file: initializers and the tensors inside Constant nodes.

    `module` is the user's own module that uses it first, "" when the exporter left no trace of it.
    """

    name: str
    module: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, repr=False)
class Inspection(Result):
    """What is in a file.

    Attributes
    ----------
    operators : dict of str to int
        Operator -> nodes, sub-graphs included, most frequent first. Operators of another domain than ONNX's own are
        written ``domain::operator``.
    glue : int
        Nodes that only move or reshape data (see `onnx_lab.model.GLUE`).
    attention_blocks, attention_fused : int
        Attention blocks found, and those that are a single node.
    weights : tuple of Weight
        All constant tensors, largest first.
    """

    name: str
    size_bytes: int
    producer: str
    ir_version: int
    opsets: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: dict[str, int]
    glue: int
    subgraphs: int
    functions: int
    attention_blocks: int
    attention_fused: int
    weights: tuple[Weight, ...]
    lineage: tuple[Step, ...]
    machine: Machine

    @property
    def nodes(self) -> int:
        """Nodes in all graphs of the file."""
        return sum(self.operators.values())

    @property
    def weight_bytes(self) -> dict[str, int]:
        """dtype -> bytes of all weights of that dtype, largest first."""
        total: Counter[str] = Counter()
        for w in self.weights:
            total[w.dtype] += w.size_bytes
        return dict(total.most_common())

    def _records(self) -> list[dict[str, Any]]:
        return [{"operator": op, "nodes": n, "glue": _bare(op) in GLUE} for op, n in self.operators.items()]

    def _card(self) -> Card:
        rows = [
            ("size", f"{megabytes(self.size_bytes)}, of it weights {megabytes(sum(self.weight_bytes.values()))}"),
            (
                "nodes",
                f"{self.nodes}, {self.glue} of them glue" + f"; {self.subgraphs} sub-graphs" * bool(self.subgraphs),
            ),
            ("attention", _attention(self.attention_blocks, self.attention_fused)),
            ("opset", ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in self.opsets.items())),
            ("made by", f"{self.producer or 'unknown'}, IR version {self.ir_version}"),
            ("inputs", "; ".join(map(str, self.inputs))),
            ("outputs", "; ".join(map(str, self.outputs))),
            ("lineage", " → ".join(s.verb for s in self.lineage) or "a file from elsewhere"),
        ]
        return Card(self.name, rows, [self._operator_table(), self._weight_table()])

    def _operator_table(self) -> Table:
        shown = list(self.operators.items())[: 2 * _SHOWN]
        cells = [(op, str(n), "glue" if _bare(op) in GLUE else "") for op, n in shown]
        if rest := self.nodes - sum(n for _, n in shown):
            cells.append((f"{len(self.operators) - len(shown)} more", str(rest), ""))
        return Table(("operator", "nodes", ""), tuple(cells), "operators by count")

    def _weight_table(self) -> Table:
        total = sum(self.weight_bytes.values()) or 1
        by_dtype = [(f"all {t}", "", megabytes(b), f"{b / total:.0%}") for t, b in self.weight_bytes.items()]
        largest = [
            (
                _shortened(w.module or w.name),
                f"{w.dtype}{list(w.shape)}",
                megabytes(w.size_bytes),
                f"{w.size_bytes / total:.0%}",
            )
            for w in self.weights[:_SHOWN]
        ]
        return Table(("used by", "type", "size", "share"), (*by_dtype, *largest), f"weights, the {_SHOWN} largest")


def inspect(m: Model) -> Inspection:
    """What is in a file: inputs, operators, weights by size, glue, attention blocks found and fused, lineage.

    Parameters
    ----------
    m : Model
        Any Model. Its external weights are not read, whatever their size.

    Returns
    -------
    Inspection
        Shows itself; `.to_pandas()` is the table of operators.

    Raises
    ------
    BadModel
        When the file is gone, was edited, or is not a model.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> look = lab.inspect(lab.samples.tiny())
    >>> look.operators["MatMul"], look.glue, look.weights[0].name
    (2, 1, 'w1')
    """
    found = _inspected(m, m.to_ir())
    if m.size_bytes > WORTH_GIVING_BYTES:
        give_memory_back()  # a graph and its weights
    return found


def _inspected(m: Model, graph: ir.Model) -> Inspection:
    nodes = list(graph.graph.all_nodes())
    operators = Counter(n.op_type if n.domain in ("", "ai.onnx") else f"{n.domain}::{n.op_type}" for n in nodes)
    fused, still_open = fused_blocks(graph.graph), open_blocks(graph.graph)
    return Inspection(
        name=m.name,
        size_bytes=m.size_bytes,
        producer=" ".join(filter(None, (graph.producer_name, graph.producer_version))),
        ir_version=graph.ir_version,
        opsets=dict(graph.opset_imports),
        inputs=m.inputs,
        outputs=m.outputs,
        operators=dict(operators.most_common()),
        glue=sum(n for op, n in operators.items() if _bare(op) in GLUE),
        subgraphs=sum(len(list(_subgraphs(n))) for n in nodes),
        functions=len(graph.functions),
        attention_blocks=len(fused) + len(still_open),
        attention_fused=len(fused),
        weights=tuple(sorted(_weights(graph), key=lambda w: -w.size_bytes)),
        lineage=m.lineage,
        machine=this_machine(),
    )


def _weights(graph: ir.Model) -> Iterator[Weight]:
    """Initializers of all graphs, and tensors that Constant nodes hold; sizes come from shape and dtype alone."""
    for g in graph.graphs():
        for value in g.initializers.values():
            if (t := value.const_value) is not None:
                user = next((module_of(n) for n in value.consumers()), "")
                yield Weight(value.name or "", user, _dtype(t), tuple(t.shape.numpy()), t.nbytes)
        for node in g:
            if node.op_type == "Constant" and "value" in node.attributes:
                t = node.attributes["value"].as_tensor()
                yield Weight(node.outputs[0].name or "", module_of(node), _dtype(t), tuple(t.shape.numpy()), t.nbytes)


def _subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    import onnx_ir as ir

    for a in node.attributes.values():
        if a.type == ir.AttributeType.GRAPH:
            yield a.as_graph()
        elif a.type == ir.AttributeType.GRAPHS:
            yield from a.as_graphs()


def _dtype(tensor: ir.TensorProtocol) -> str:
    name = tensor.dtype.name.lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _bare(operator: str) -> str:
    return operator.rsplit("::", 1)[-1]


def _attention(found: int, fused: int) -> str:
    return f"{fused} of {found} blocks are one node" if found else "no attention blocks"


def _shortened(name: str, limit: int = 48) -> str:
    return name if len(name) <= limit else "…" + name[-(limit - 1) :]

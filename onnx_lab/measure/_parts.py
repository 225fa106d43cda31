"""The parts of a file beside its main graph: sub-graphs, functions of its own, and foreign domains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx_lab._metadata import module_of, operator_of
from onnx_lab.measure._static_work import node_label, subgraphs_of

if TYPE_CHECKING:
    import onnx_ir as ir

#: Domains that onnx itself or ONNX Runtime brings operators for.
_KNOWN = {
    "": "ONNX",
    "ai.onnx": "ONNX",
    "ai.onnx.ml": "ONNX-ML",
    "ai.onnx.preview.training": "ONNX, training",
    "ai.onnx.training": "ONNX, training",
    "com.microsoft": "ONNX Runtime",
    "com.microsoft.nchwc": "ONNX Runtime, internal",
    "com.ms.internal.nhwc": "ONNX Runtime, internal",
    "com.microsoft.experimental": "ONNX Runtime",
    "org.pytorch.aten": "PyTorch's own operators, in builds of ONNX Runtime that have them",
}


@dataclass(frozen=True)
class SubGraph:
    """A graph inside a node: the branch of an If, the body of a Loop or a Scan.

    `depth` is 1 for a graph that lies in a node of the main graph.
    """

    node: str
    operator: str
    attribute: str
    module: str
    depth: int
    nodes: int
    operators: dict[str, int]


@dataclass(frozen=True)
class LocalFunction:
    """A function that the file defines: how many nodes it is made of, and how often it is called."""

    name: str
    nodes: int
    calls: int
    operators: dict[str, int]


@dataclass(frozen=True)
class Domain:
    """A set of operators that the file uses, and who knows them: "a custom operator library" where nobody here does."""

    name: str
    version: int
    nodes: int
    known_by: str

    @property
    def custom(self) -> bool:
        """Whether an engine needs a library for it."""
        return self.known_by == CUSTOM


CUSTOM = "a custom operator library"


def subgraphs(nodes: Iterable[ir.Node]) -> Iterator[SubGraph]:
    """All sub-graphs of `nodes`, those inside others after them."""
    yield from _below(nodes, 1)


def _below(nodes: Iterable[ir.Node], depth: int) -> Iterator[SubGraph]:
    for node in nodes:
        for name, attribute in node.attributes.items():
            for inner in subgraphs_of(attribute):
                own = list(inner)
                yield SubGraph(
                    node_label(node), operator_of(node), name, module_of(node), depth, len(own), _counts(own)
                )
                yield from _below(own, depth + 1)


def functions(graph: ir.Model, called: Counter[str]) -> tuple[LocalFunction, ...]:
    """The functions of a file; `called` is operator -> nodes of all graphs."""
    inside: Counter[str] = Counter()
    for f in graph.functions.values():
        inside.update(operator_of(n) for n in f.all_nodes())
    found = []
    for f in graph.functions.values():
        name, own = f"{f.domain}::{f.name}", list(f.all_nodes())
        found.append(LocalFunction(name, len(own), called[name] + inside[name], _counts(own)))
    return tuple(found)


def domains(graph: ir.Model, nodes: Iterable[ir.Node]) -> tuple[Domain, ...]:
    """Every domain that the file names or uses, ONNX's own first."""
    used = Counter("" if n.domain == "ai.onnx" else n.domain for n in nodes)
    own = {f.domain for f in graph.functions.values()}
    names = dict.fromkeys([*sorted(graph.opset_imports), *used])
    return tuple(
        Domain(
            d,
            graph.opset_imports.get(d, 0),
            used[d],
            _KNOWN.get(d) or ("this file's own functions" if d in own else CUSTOM),
        )
        for d in names
        if d != "ai.onnx" or "" not in names
    )


def _counts(nodes: Iterable[ir.Node]) -> dict[str, int]:
    return dict(Counter(operator_of(n) for n in nodes).most_common())

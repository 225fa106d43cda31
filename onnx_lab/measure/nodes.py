"""nodes: one node or several, by name, pattern, operator or module, with everything that the file says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from onnx_lab._a_model import check_model
from onnx_lab._metadata import lies_in, module_of
from onnx_lab.card import Card, Table
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.measure._inspection_card import shortened
from onnx_lab.measure._node_facts import NodeFacts, Operand, all_nodes, cut, facts_of
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.model import Model
from onnx_lab.runtime.shapes import Shapes, shapes_of

if TYPE_CHECKING:
    import onnx_ir as ir

_ROWS_SHOWN = 40
_TENSOR_SHOWN = 24


@dataclass(frozen=True, repr=False)
class Nodes(Result):
    """The nodes that were asked for, in the order of the file.

    A sequence: ``found[0]``, ``len(found)``, ``for node in found``.
    """

    model: str
    asked: tuple[str, ...]
    nodes: tuple[NodeFacts, ...]
    notes: tuple[str, ...]
    machine: Machine

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, place: int) -> NodeFacts:
        return self.nodes[place]

    def __iter__(self) -> Iterator[NodeFacts]:
        return iter(self.nodes)

    def _records(self) -> list[dict[str, Any]]:
        return [
            {
                "name": n.name,
                "operator": n.operator,
                "module": n.module,
                "graph": n.graph,
                "inputs": [o.name for o in n.inputs],
                "weights": [o.name for o in n.inputs if o.kind == "weight"],
                "outputs": [o.name for o in n.outputs],
                "shapes": [str(o) for o in n.outputs],
                "attributes": {a.name: a.value for a in n.attributes},
            }
            for n in self.nodes
        ]

    def _card(self) -> Card:
        if len(self.nodes) > 1:
            return _several(self)
        card = self.nodes[0]._card()
        return replace(card, title=f"{card.title} of {self.model}", notes=self.notes)


def nodes(m: Model, what: str | Sequence[str] = "*", *, shapes: bool = True) -> Nodes:
    """Nodes of a file: attributes with their types, inputs (weights told from activations), results, neighbours.

    Parameters
    ----------
    m : Model
    what : str or sequence of str, default "*"
        A node's name, an operator (``"MatMul"``, ``"com.microsoft::Attention"``), a module
        (``"encoder.layer.3"``: its nodes and all below it), or the name of a tensor that a node makes; with ``*``
        and ``?`` a pattern of any of these. Several: all nodes that one of them finds.
    shapes : bool, default True
        Infer shapes; without, only those that are written in the file.

    Returns
    -------
    Nodes
        A card for one node, a table for several; sub-graphs and functions included.

    Raises
    ------
    BadInput
        When nothing is found, with the nearest name.
    BadModel
        When the file is gone or was edited.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> found = lab.nodes(lab.samples.tiny(), "MatMul")
    >>> [n.inputs[1].name for n in found], str(found[0].outputs[0])
    (['w1', 'w2'], 'float32[batch, 16]')
    """
    check_model(m)
    asked = (what,) if isinstance(what, str) else tuple(what)
    if not asked or not all(isinstance(a, str) and a for a in asked):
        raise BadInput(f"nodes of {what!r:.60}", accepted="a name, operator, module or pattern, or a list of these")
    every = list(all_nodes(m.to_graph()))
    found = [one for one in every if any(_matches(one[2], a) for a in asked)]
    if not found:
        raise _nothing(m, asked, [n for _, _, n in every])
    known = shapes_of(m) if shapes else Shapes()
    notes = (f"shapes are those of the file: {known.why_not}",) * bool(known.why_not)
    return Nodes(m.name, asked, tuple(facts_of(*one, known) for one in found), notes, this_machine())


def _matches(node: ir.Node, pattern: str) -> bool:
    return any(fnmatchcase(word, pattern) or word == pattern for word in _words(node)) or lies_in(
        module_of(node), pattern
    )


def _words(node: ir.Node) -> Iterable[str]:
    """By what a node is found, beside its module."""
    domain = "ai.onnx" if node.domain in ("", "ai.onnx") else node.domain
    return (node.name or "", node.op_type, f"{domain}::{node.op_type}", *(v.name for v in node.outputs if v.name))


def _nothing(m: Model, asked: Sequence[str], every: Sequence[ir.Node]) -> BadInput:
    words = dict.fromkeys(w for n in every for w in (*_words(n), module_of(n)) if w)
    hint = did_you_mean(asked[0], words)
    near = hint if hint.startswith("did") else f"lab.inspect({m.name}) lists operators and modules"
    return BadInput(
        f"no node of {m.name} matches {', '.join(map(repr, asked))}",
        accepted="a node's name, an operator, domain::operator, a module, a tensor's name, or a pattern with * and ?",
        do=near,
    )


def _several(result: Nodes) -> Card:
    rows = tuple(
        (
            shortened(n.title),
            n.operator,
            n.module,
            "; ".join(f"{_short(o)}: {o}" if o.kind == "weight" else _short(o) for o in n.inputs),
            _together(n.outputs),
            cut(", ".join(f"{a.name}={cut(a.value, 24)}" for a in n.attributes)),
        )
        for n in result.nodes[:_ROWS_SHOWN]
    )
    header = ("node", "operator", "module", "inputs", "results", "attributes")
    rest = len(result.nodes) - len(rows)
    notes = [*result.notes, *[f"{rest} more; .to_pandas() has them all"] * bool(rest)]
    title = f"{len(result.nodes)} nodes of {result.model}: {', '.join(result.asked)}"
    return Card(title, (), [_without_empty(Table(header, rows), result.asked)], notes)


def _short(operand: Operand) -> str:
    return shortened(operand.called, _TENSOR_SHOWN)


def _without_empty(table: Table, asked: Sequence[str]) -> Table:
    """Columns in which nothing is said, or what was asked for in every row, take room for nothing."""

    def says(column: int) -> bool:
        cells = {row[column] for row in table.rows}
        alike = len(cells) == 1 and any(cell.rsplit("::", 1)[-1] in asked for cell in cells)
        return cells != {""} and not alike

    said = [0, *(c for c in range(1, len(table.header)) if says(c))]
    return Table(tuple(table.header[c] for c in said), tuple(tuple(row[c] for c in said) for row in table.rows))


def _together(operands: Sequence[Operand]) -> str:
    """``3 × float32[batch, 8]`` where results are alike."""
    counts = Counter(o.said for o in operands if o.said)
    return "; ".join(f"{n} × {kind}" if n > 1 else kind for kind, n in counts.items())

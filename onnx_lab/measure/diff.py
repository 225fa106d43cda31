"""diff: what a transform did, node by node and weight by weight. No engine is opened and no weights are read."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from onnx_lab._a_model import check_model
from onnx_lab.card import Card, Table, megabytes
from onnx_lab.errors import BadInput
from onnx_lab.measure._changes import KINDS, Change, changes_of, sentence
from onnx_lab.measure._matching import match
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.measure._weight_changes import WeightChange, weight_changes
from onnx_lab.model import Model

_ROWS = 12


@dataclass(frozen=True, repr=False)
class GraphDiff(Result):
    """What became of the nodes and weights of one model in another.

    Attributes
    ----------
    kept : int
        Nodes that are the same in both.
    changes : tuple of Change
        All others, in the order of the graphs.
    weights : tuple of WeightChange
        Weights of another dtype, those that are gone and those that are new, largest first.
    """

    a: str
    b: str
    nodes_a: int
    nodes_b: int
    size_a: int
    size_b: int
    kept: int
    changes: tuple[Change, ...]
    weights: tuple[WeightChange, ...]
    machine: Machine

    def __bool__(self) -> bool:
        return bool(self.changes or self.weights)

    def of(self, kind: str) -> tuple[Change, ...]:
        """The changes of one kind.

        Raises
        ------
        BadInput
            For a word that is no kind.
        """
        if kind not in KINDS:
            raise BadInput(f"changes of kind {kind!r}", accepted=", ".join(KINDS))
        return tuple(c for c in self.changes if c.kind == kind)

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> how many changes; kinds that did not happen are left out."""
        found = Counter(c.kind for c in self.changes)
        return {k: found[k] for k in KINDS if found[k]}

    @property
    def modules(self) -> dict[str, dict[str, int]]:
        """The user's own module -> kind -> how many changes; "" is what has none."""
        found: dict[str, Counter[str]] = {}
        for c in self.changes:
            found.setdefault(c.module, Counter())[c.kind] += 1
        return {m: dict(n) for m, n in found.items()}

    @property
    def sentences(self) -> tuple[str, ...]:
        """What happened, in words."""
        if not self:
            return (f"{self.b} has the nodes and weights of {self.a}",)
        said = [f"{self.nodes_a} nodes became {self.nodes_b}: {self.kept} are as they were"]
        said += [sentence(kind, own) for kind in KINDS if (own := self.of(kind))]
        retyped = [w for w in self.weights if w.before and w.after]
        if retyped:
            pairs = Counter((w.before, w.after) for w in retyped)
            kinds = ", ".join(f"{n} from {x} to {y}" for (x, y), n in pairs.most_common(3))
            sizes = (
                f"{megabytes(sum(w.bytes_before for w in retyped))} → {megabytes(sum(w.bytes_after for w in retyped))}"
            )
            said.append(f"weights of another type: {kinds}, {sizes}")
        return tuple(said)

    def _records(self) -> list[dict[str, Any]]:
        return [
            {
                "kind": c.kind,
                "module": c.module,
                "before": ", ".join(c.ops_before),
                "after": ", ".join(c.ops_after),
                "nodes_before": list(c.before),
                "nodes_after": list(c.after),
                "detail": c.detail,
            }
            for c in self.changes
        ]

    def _card(self) -> Card:
        facts = [
            ("nodes", f"{self.nodes_a} → {self.nodes_b}, {self.kept} kept"),
            ("size", f"{megabytes(self.size_a)} → {megabytes(self.size_b)}"),
        ]
        tables = [self._patterns(), self._by_module()] if self.changes else []
        if self.weights:
            tables.append(self._weight_table())
        return Card(f"{self.b} against {self.a}: what changed", facts, tables, self.sentences[1:])

    def _patterns(self) -> Table:
        """The same change in many places is one row."""
        seen = Counter((c.kind, c.text, c.detail if c.kind in ("retyped", "changed") else "") for c in self.changes)
        first = {(c.kind, c.text): (c.after or c.before)[0] for c in reversed(self.changes)}
        ordered = sorted(seen.items(), key=lambda kv: (KINDS.index(kv[0][0]), -kv[1]))
        rows = [
            (kind, text if not detail or kind == "retyped" else f"{text}: {detail}", str(n), first[kind, text])
            for (kind, text, detail), n in ordered[: 2 * _ROWS]
        ]
        if rest := sum(n for _, n in ordered[2 * _ROWS :]):
            rows.append((f"{len(ordered) - 2 * _ROWS} more", "", str(rest), ""))
        return Table(("what", "nodes", "times", "the first is"), tuple(rows), "what was done, the same taken together")

    def _by_module(self) -> Table:
        kinds = list(self.counts)
        found: dict[str, Counter[str]] = {}
        for module, counts in self.modules.items():
            found.setdefault(re.sub(r"(?<=\.)\d+(?=\.|$)", "*", module), Counter()).update(counts)
        ordered = sorted(found.items(), key=lambda kv: -sum(kv[1].values()))
        rows = [(m or "(no module)", *(str(n[k] or "") for k in kinds)) for m, n in ordered[:_ROWS]]
        if len(ordered) > _ROWS:
            rest = sum((n for _, n in ordered[_ROWS:]), Counter[str]())
            rows.append((f"{len(ordered) - _ROWS} more", *(str(rest[k] or "") for k in kinds)))
        return Table(("module", *kinds), tuple(rows), "by module; * stands for a number")

    def _weight_table(self) -> Table:
        rows = [
            (w.name, w.before or "-", w.after or "-", _size(w.bytes_before), _size(w.bytes_after))
            for w in self.weights[:_ROWS]
        ]
        caption = f"weights that changed, the largest {len(rows)} of {len(self.weights)}"
        return Table(("weight", "before", "after", "size before", "size after"), tuple(rows), caption)


def diff(a: Model, b: Model) -> GraphDiff:
    """What a transform did: nodes kept, fused, rewritten, retyped, removed and added, by module.

    Nodes are matched by the tensors they make, then by name, then by what stands around them. Sub-graphs (If, Loop)
    count as part of their node.

    Parameters
    ----------
    a, b : Model
        Before and after. Two files of one network, in that order.

    Returns
    -------
    GraphDiff
        ``.changes``, ``.counts``, ``.modules``, ``.sentences``; false when nothing changed.

    Raises
    ------
    BadModel
        When a file is gone, was edited, or is not a model.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> found = lab.diff(m, lab.simplify(m))
    >>> found.counts, found.of("removed")[0].text
    ({'removed': 1}, 'Identity')
    """
    check_model(a, b)
    left, right = a.to_ir(), b.to_ir()
    before, after = list(left.graph), list(right.graph)
    matching = match(before, after)
    changes = tuple(changes_of(before, after, matching, right.graph.initializers))
    return GraphDiff(
        a=a.name,
        b=b.name,
        nodes_a=len(before),
        nodes_b=len(after),
        size_a=a.size_bytes,
        size_b=b.size_bytes,
        kept=len(after) - sum(len(c.after) for c in changes),
        changes=changes,
        weights=tuple(weight_changes(left, right)),
        machine=this_machine(),
    )


def _size(size_bytes: int) -> str:
    return megabytes(size_bytes) if size_bytes else "-"

"""What became of nodes, in the words of `onnx_lab.diff`: fused, rewritten, retyped, changed, removed, added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx_lab._metadata import module_of, shared_path
from onnx_lab.measure._matching import Matching, attribute_text, keys

if TYPE_CHECKING:
    import onnx_ir as ir

#: What can have become of nodes, in the order in which it is told.
KINDS = ("fused", "rewritten", "retyped", "changed", "removed", "added")
_NAMED = 3


@dataclass(frozen=True)
class Change:
    """Nodes of the first model, and what stands in their place in the second.

    `kind` is ``fused`` (several became fewer), ``rewritten`` (they became as many or more), ``retyped`` (the same
    tensor by another operator, or of another dtype), ``changed`` (other attributes), ``removed`` or ``added``. Nodes go
    by their names, or by that of their first output where they have none. `module` is the user's own, "" when unknown.
    """

    kind: str
    module: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    ops_before: tuple[str, ...]
    ops_after: tuple[str, ...]
    detail: str = ""

    @property
    def text(self) -> str:
        """``MatMul + Add → Gemm``; the same operator is counted, of many the most frequent are named."""
        same = self.ops_before == self.ops_after
        return " → ".join(filter(None, [_counted(self.ops_before) * (not same), _counted(self.ops_after)]))


def changes_of(
    a: Sequence[ir.Node], b: Sequence[ir.Node], matching: Matching, constants: Container[str]
) -> Iterator[Change]:
    """All that is not as it was: in the order of the second graph, what is gone behind.

    Parameters
    ----------
    a, b : sequence of onnx_ir.Node
    matching : Matching
    constants : container of str
        Names of the second graph's weights: what was computed and is one of them now was folded.
    """
    names = keys(a), keys(b)
    place = {j: r for r in matching.regions for j in r.after[:1]}
    replaced = {j for r in matching.regions for j in r.after}
    gone = set(range(len(a))) - set(matching.pairs.values()) - {i for r in matching.regions for i in r.before}
    for j, node in enumerate(b):
        if j in matching.pairs:
            i = matching.pairs[j]
            kind, detail = _difference(a[i], node)
            if kind:
                yield _change(kind, a, b, [i], [j], names, detail)
        elif j in place:
            r = place[j]
            one = len(r.after) == len(r.before) == 1
            kind = "retyped" if one else "fused" if len(r.after) < len(r.before) else "rewritten"
            yield _change(kind, a, b, r.before, r.after, names)
        elif j not in replaced:
            yield _change("added", a, b, [], [j], names)
    for i in sorted(gone):
        folded = any(v.name in constants for v in a[i].outputs)
        yield _change("removed", a, b, [i], [], names, "folded into a weight" if folded else "")


def sentence(kind: str, own: Sequence[Change]) -> str:
    """``48 nodes fused into 12: MatMul + Add → Gemm ×12``."""
    before, after = sum(len(c.before) for c in own), sum(len(c.after) for c in own)
    old, new = (f"{n} node" + "s" * (n != 1) for n in (before, after))
    counts = {
        "fused": f"{old} fused into {after}",
        "rewritten": f"{old} written as {after}",
        "retyped": f"{new} of another operator or type",
        "changed": f"{new} with other attributes",
        "removed": f"{old} removed",
        "added": f"{new} added",
    }
    seen = Counter(c.text + f" ({c.detail})" * bool(c.detail and kind == "retyped") for c in own).most_common()
    first = ", ".join(f"{text} ×{n}" if n > 1 else text for text, n in seen[:_NAMED])
    return f"{counts[kind]}: {first}" + f", and {len(seen) - _NAMED} more" * (len(seen) > _NAMED)


def _counted(ops: Sequence[str]) -> str:
    seen = Counter(ops)
    if len(seen) > 2 * _NAMED:
        most = ", ".join(op for op, _ in seen.most_common(_NAMED))
        return f"{len(ops)} nodes ({most}, …)"
    return " + ".join(f"{op} ×{n}" if n > 1 else op for op, n in seen.items())


def _change(
    kind: str,
    a: Sequence[ir.Node],
    b: Sequence[ir.Node],
    before: Sequence[int],
    after: Sequence[int],
    names: tuple[list[str], list[str]],
    detail: str = "",
) -> Change:
    old, new = [a[i] for i in before], [b[j] for j in after]
    return Change(
        kind,
        ".".join(shared_path([m.split(".") for n in old or new if (m := module_of(n))])),
        tuple(names[0][i] for i in before),
        tuple(names[1][j] for j in after),
        tuple(n.op_type for n in old),
        tuple(n.op_type for n in new),
        detail,
    )


def _difference(a: ir.Node, b: ir.Node) -> tuple[str, str]:
    """Kind and detail for a node that both have; ("", "") when it is the same."""
    for x, y in zip(a.outputs, b.outputs, strict=False):
        if x.dtype is not None and y.dtype is not None and x.dtype != y.dtype:
            return "retyped", f"{dtype_name(x)} → {dtype_name(y)}"
    old = {k: attribute_text(v) for k, v in a.attributes.items()}
    new = {k: attribute_text(v) for k, v in b.attributes.items()}
    if old == new:
        return "", ""
    differ = [k for k in {**old, **new} if old.get(k) != new.get(k)]
    return "changed", "; ".join(f"{k}: {old.get(k, 'unset')} → {new.get(k, 'unset')}" for k in differ)


def dtype_name(v: ir.Value | ir.TensorProtocol) -> str:
    """``float32`` where ONNX says FLOAT; "" when unknown."""
    name = v.dtype.name.lower() if v.dtype is not None else ""
    return {"float": "float32", "double": "float64"}.get(name, name)

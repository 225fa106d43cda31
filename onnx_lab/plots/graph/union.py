"""Two models in one graph: the second as it is, and in their old places the nodes that the transform removed."""

from __future__ import annotations

from onnx_lab.measure._changes import Change
from onnx_lab.measure.diff import GraphDiff
from onnx_lab.plots.graph.flat import Flat, Node, Tensor


def united(a: Flat, b: Flat, found: GraphDiff) -> Flat:
    """`b`, each node with what became of it, and the nodes of `a` that are gone.

    Parameters
    ----------
    a, b : Flat
        `b` is changed in place, and returned.
    found : GraphDiff
        Of the same two models.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> from onnx_lab.plots.graph.flat import flatten
    >>> m = lab.samples.tiny()
    >>> slim = lab.simplify(m)
    >>> both = united(flatten(m), flatten(slim), lab.diff(m, slim))
    >>> [(n.op, n.status) for n in both.nodes if n.status]
    [('Identity', 'removed')]
    """
    at = {n.name: i for i, n in enumerate(b.nodes) if n.kind == "node"}
    stands_for: dict[str, int] = {}
    for c in found.changes:
        for name in c.after:
            if name in at:
                _mark(b.nodes[at[name]], c)
        if c.after and c.after[-1] in at:
            stands_for.update(dict.fromkeys(c.before, at[c.after[-1]]))
    gone = {name: c for c in found.changes if c.kind == "removed" for name in c.before}
    _add_gone(a, b, gone, stands_for)
    b.name = f"{a.name} → {b.name}"
    return b


def _mark(node: Node, c: Change) -> None:
    node.status, node.made_of = c.kind, c.before if c.kind != "changed" else ()
    many = max(len(c.before), len(c.after)) > 1
    node.detail = c.detail or (f"{len(c.before)} nodes → {len(c.after)}" if many else "")
    if c.kind == "retyped" and not c.detail and c.ops_before:
        node.detail = f"was {c.ops_before[0]}"
    node.module = node.module or c.module


def _add_gone(a: Flat, b: Flat, gone: dict[str, Change], stands_for: dict[str, int]) -> None:
    """The removed nodes, just behind what they followed; their lines go to what is left of their neighbours."""
    by_name = {t.name: i for i, t in enumerate(b.tensors) if t.maker >= 0}
    place, step = 0.0, 0
    for n in a.nodes:
        if n.kind != "node" or n.name not in gone:
            heir = _heir(a, b, n, by_name, stands_for)
            if heir is not None:
                place, step = b.nodes[heir].place, 0
            continue
        step += 1
        read = [_tensor(a, b, t, by_name) for t in n.inputs]
        made = [len(b.tensors) + k for k in range(len(n.outputs))]
        b.tensors += [Tensor(a.tensors[t].name, type=a.tensors[t].type) for t in n.outputs]
        ghost = Node(n.name, n.op, n.module, status="removed", origin=n.origin, place=place + step / 1000)
        ghost.detail = gone[n.name].detail or "removed"
        b.add(ghost, made, read)
        by_name.update({a.tensors[t].name: m for t, m in zip(n.outputs, made, strict=True)})
        for t, m in zip(n.outputs, made, strict=True):
            heirs = (_heir(a, b, a.nodes[r], by_name, stands_for) for r in a.tensors[t].readers)
            b.tensors[m].readers += list(dict.fromkeys(h for h in heirs if h is not None))


def _heir(a: Flat, b: Flat, n: Node, by_name: dict[str, int], stands_for: dict[str, int]) -> int | None:
    """The node of `b` that is, or stands for, a node of `a`; none for one that is gone."""
    if n.name in stands_for:
        return stands_for[n.name]
    for t in n.outputs:
        if (found := by_name.get(a.tensors[t].name)) is not None and b.nodes[
            b.tensors[found].maker
        ].status != "removed":
            return b.tensors[found].maker
    return None


def _tensor(a: Flat, b: Flat, t: int, by_name: dict[str, int]) -> int:
    """The tensor of `a` in `b`; one that nothing makes any more is shown like a weight."""
    old = a.tensors[t]
    if old.name not in by_name:
        by_name[old.name] = len(b.tensors)
        b.tensors.append(Tensor(old.name, type=old.type))
    return by_name[old.name]

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
    _add_gone(a, b, gone, {**_same(a, b), **stands_for})
    b.name = f"{a.name} → {b.name}"
    return b


def _mark(node: Node, c: Change) -> None:
    node.status, node.made_of = c.kind, c.before if c.kind != "changed" else ()
    many = max(len(c.before), len(c.after)) > 1
    node.detail = c.detail or (f"{len(c.before)} nodes → {len(c.after)}" if many else "")
    if c.kind == "retyped" and not c.detail and c.ops_before:
        node.detail = f"was {c.ops_before[0]}"
    node.module = node.module or c.module


def _same(a: Flat, b: Flat) -> dict[str, int]:
    """Node of `a` -> the node of `b` that makes its tensor, or bears its name."""
    makers = {t.name: t.maker for t in b.tensors if t.maker >= 0}
    names = {(n.name, n.op): i for i, n in enumerate(b.nodes)}
    found: dict[str, int] = {}
    for n in a.nodes:
        maker = next((makers[a.tensors[t].name] for t in n.outputs if a.tensors[t].name in makers), None)
        heir = names.get((n.name, n.op), maker)
        if heir is not None:
            found[n.name] = heir
    return found


def _add_gone(a: Flat, b: Flat, gone: dict[str, Change], heirs: dict[str, int]) -> None:
    """The removed nodes, just behind what they followed; their lines go to what is left of their neighbours."""
    made: dict[int, int] = {}  # tensor of a -> tensor of b
    place, step = 0.0, 0
    for n in a.nodes:
        if n.kind != "node" or n.name not in gone:
            if n.name in heirs:
                place, step = b.nodes[heirs[n.name]].place, 0
            continue
        step += 1
        read = [_tensor(a, b, t, made, heirs) for t in n.inputs]
        for t in n.outputs:
            made[t] = len(b.tensors)
            b.tensors.append(Tensor(a.tensors[t].name, type=a.tensors[t].type))
        ghost = Node(n.name, n.op, n.module, status="removed", origin=n.origin, place=place + step / 1000)
        ghost.detail = gone[n.name].detail or "removed"
        b.add(ghost, [made[t] for t in n.outputs], read)
        for t in n.outputs:
            readers = (a.nodes[r].name for r in a.tensors[t].readers)
            b.tensors[made[t]].readers += list(dict.fromkeys(heirs[r] for r in readers if r in heirs and r not in gone))


def _tensor(a: Flat, b: Flat, t: int, made: dict[int, int], heirs: dict[str, int]) -> int:
    """The tensor of `a` in `b`: under its name, else what its maker's heir makes; else it is shown like a weight."""
    if t in made:
        return made[t]
    old = a.tensors[t]
    heir = heirs.get(a.nodes[old.maker].name) if old.maker >= 0 else None
    if heir is not None and b.nodes[heir].outputs:
        outputs = b.nodes[heir].outputs
        made[t] = next((o for o in outputs if b.tensors[o].name == old.name), outputs[0])
    else:
        made[t] = len(b.tensors)
        b.tensors.append(Tensor(old.name, type=old.type))
    return made[t]

"""Which node of one graph is which node of another, when a transform made the second from the first.

Transforms keep the names of the tensors that they do not remove: those are the anchors. What stands between anchors in
one graph and not in the other belongs together: the nodes that a fused node was made of, the nodes that a quantizer put
in the place of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass
class Region:
    """Nodes of the first graph, and the nodes of the second that stand in their place; places in their lists."""

    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Matching:
    """What became of each node.

    Attributes
    ----------
    pairs : dict of int to int
        Node of the second graph -> the same node in the first.
    regions : list of Region
        Nodes that were replaced; all other nodes of the first are gone, all others of the second are new.
    """

    pairs: dict[int, int]
    regions: list[Region]


def keys(nodes: Sequence[ir.Node]) -> list[str]:
    """A name for each node that no other has: its own where it is, else that of its first output.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> keys(list(lab.samples.tiny().to_ir().graph))[:2]
    ['first/matmul', 'first/add']
    """
    seen = Counter(n.name for n in nodes if n.name)
    names = [n.name if n.name and seen[n.name] == 1 else _result(n) for n in nodes]
    return [name or f"node {i}" for i, name in enumerate(names)]


def match(a: Sequence[ir.Node], b: Sequence[ir.Node]) -> Matching:
    """Match the nodes of a graph with those of the graph that was made from it."""
    pairs: dict[int, int] = {}
    _by_name(a, b, pairs, _result)
    known = {v.name for n in b for v in n.outputs if v.name}
    # a name that says one thing while the tensor says another is a number that was given anew
    _by_name(a, b, pairs, lambda n: n.name or "", lambda n: not any(v.name in known for v in n.outputs))
    _by_inputs(a, b, pairs)
    _by_consumers(a, b, pairs)
    return Matching(pairs, _regions(a, b, pairs))


def _by_name(
    a: Sequence[ir.Node],
    b: Sequence[ir.Node],
    pairs: dict[int, int],
    name: Callable[[ir.Node], str],
    wanted: Callable[[ir.Node], bool] = lambda _: True,
) -> None:
    taken = set(pairs.values())
    there = {(name(n), *_kind(n)): i for i, n in enumerate(a) if i not in taken and name(n) and wanted(n)}
    for j, n in enumerate(b):
        if j not in pairs and (i := there.pop((name(n), *_kind(n)), None)) is not None:
            pairs[j] = i


def _by_inputs(a: Sequence[ir.Node], b: Sequence[ir.Node], pairs: dict[int, int]) -> None:
    """The same operator on the same inputs is the same node, whatever its result is called; from the inputs down."""
    taken = set(pairs.values())
    same: dict[Any, ir.Value] = {}
    for j, i in pairs.items():
        same.update(zip(b[j].outputs, a[i].outputs, strict=False))
    there: dict[Hashable, list[int]] = {}
    for i, n in enumerate(a):
        if i not in taken:
            there.setdefault((_kind(n), _inputs(n, {})), []).append(i)
    for j, n in enumerate(b):
        if j in pairs or not n.inputs:
            continue
        if found := there.get((_kind(n), _inputs(n, same))):
            pairs[j] = found.pop(0)
            same.update(zip(n.outputs, a[pairs[j]].outputs, strict=False))


def _by_consumers(a: Sequence[ir.Node], b: Sequence[ir.Node], pairs: dict[int, int]) -> None:
    """The same operator at the same place of two consumers that are the same is the same node; from the results up."""
    at_a, at_b = {n: i for i, n in enumerate(a)}, {n: j for j, n in enumerate(b)}
    taken, waiting = set(pairs.values()), sorted(pairs.items())
    while waiting:
        j, i = waiting.pop()
        for left, right in zip(a[i].inputs, b[j].inputs, strict=False):
            one, other = left.producer() if left else None, right.producer() if right else None
            if one is None or other is None or at_a.get(one) is None or at_b.get(other) is None:
                continue
            if at_b[other] in pairs or at_a[one] in taken or _kind(one) != _kind(other):
                continue
            pairs[at_b[other]] = at_a[one]
            taken.add(at_a[one])
            waiting.append((at_b[other], at_a[one]))


def _regions(a: Sequence[ir.Node], b: Sequence[ir.Node], pairs: Mapping[int, int]) -> list[Region]:
    """Unmatched nodes that make the same tensors in both graphs, each with what leads to it alone."""
    taken = set(pairs.values())
    makers = {v.name: i for i, n in enumerate(a) for v in n.outputs if v.name}
    home: dict[int, int] = {}  # a node of the second graph -> its region, by the region's first node
    owned: dict[str, int] = {}  # a tensor of both graphs -> the region that makes it
    by_maker: dict[int, int] = {}
    for j, n in enumerate(b):
        common = [makers[v.name] for v in n.outputs if v.name in makers and makers[v.name] not in taken]
        if j in pairs or not common:
            continue
        root = next((by_maker[i] for i in common if i in by_maker), j)
        home[j] = root
        by_maker.update(dict.fromkeys(common, root))
        owned.update({v.name: root for v in n.outputs if v.name in makers})
    names = {v.name for n in b for v in n.outputs if v.name}
    before = _owners(a, taken, lambda v: v.name in names, owned, {})
    after = _owners(b, set(pairs), lambda _: False, owned, home)
    regions = {root: Region() for root in sorted(set(home.values()))}
    for i, root in sorted(before.items()):
        regions[root].before.append(i)
    for j, root in sorted(after.items()):
        regions[root].after.append(j)
    return [r for r in regions.values() if r.before and r.after]


def _owners(
    nodes: Sequence[ir.Node],
    matched: set[int],
    common: Callable[[ir.Value], bool],
    owned: Mapping[str, int],
    home: Mapping[int, int],
) -> dict[int, int]:
    """The region that each unmatched node belongs to: the only one that its results lead to."""
    at = {n: i for i, n in enumerate(nodes)}
    found: dict[int, int] = {}
    for i in range(len(nodes) - 1, -1, -1):
        if i in matched:
            continue
        if i in home:
            found[i] = home[i]
            continue
        leads: set[int] = set()
        for v in nodes[i].outputs:
            if common(v):
                leads.add(owned.get(v.name or "", -1))
            elif v.is_graph_output():
                leads.add(-1)
            else:
                leads |= {found.get(at.get(c, -1), -1) for c in v.consumers()}
        if len(leads) == 1 and -1 not in leads:
            found[i] = leads.pop()
    return found


def _kind(n: ir.Node) -> tuple[str, str]:
    return n.domain or "", n.op_type


def _result(n: ir.Node) -> str:
    return (n.outputs[0].name or "") if n.outputs else ""


def _inputs(n: ir.Node, same: Mapping[Any, ir.Value]) -> Hashable:
    """The inputs as they are in the first graph, and the attributes."""
    return tuple(_identity(same.get(v, v)) for v in n.inputs), attributes_key(n)


def _identity(v: ir.Value | None) -> Hashable:
    return v.name if v is not None else None


def attributes_key(n: ir.Node) -> Hashable:
    """Equal for nodes with equal attributes."""
    return tuple(sorted((name, attribute_text(a)) for name, a in n.attributes.items()))


def attribute_text(a: ir.Attr, limit: int = 200) -> str:
    """An attribute in a few words; a sub-graph by its operators, a tensor by its type and, when short, its numbers.

    Examples
    --------
    >>> import onnx_ir as ir
    >>> attribute_text(ir.AttrInt64s("axes", [0, 1])), attribute_text(ir.AttrFloat32("epsilon", 1e-5))
    ('[0, 1]', '1e-05')
    """
    import onnx_ir as ir

    value: Any = a.value
    if a.is_ref():
        text = f"@{a.ref_attr_name}"
    elif a.type == ir.AttributeType.GRAPH:
        text = _graph_text(value)
    elif a.type == ir.AttributeType.GRAPHS:
        text = "; ".join(map(_graph_text, value))
    elif a.type == ir.AttributeType.TENSOR:
        kind = f"{value.dtype.name.lower()}{list(value.shape)}"
        text = f"{kind} {value.numpy().tolist()}" if value.size <= 8 else kind
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        text = str([round(x, 6) if isinstance(x, float) else x for x in value])
    else:
        text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _graph_text(g: ir.Graph) -> str:
    ops = ", ".join(n.op_type for n in list(g)[:12])
    return f"graph of {len(g)} nodes: {ops}" + ", …" * (len(g) > 12)

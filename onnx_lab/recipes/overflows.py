"""overflows: which node first leaves float16's range, by how much, and what to keep in float32 because of it.

No GPU is needed: the float32 model runs on the CPU with each tensor rounded as a GPU would store it, as in
`mixed_precision`, whose instruments these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnx_lab._a_model import check_model
from onnx_lab._metadata import module_of
from onnx_lab.card import Card, Table
from onnx_lab.errors import BadInput
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.measure.compare import batches_of
from onnx_lab.model import Model
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.task import Dataset, Feeds, Task, batch_size
from onnx_lab.transforms._half import LARGEST_FP16, blocked_ops, learn_types, prepared
from onnx_lab.transforms._mixed_search import nobody_listens
from onnx_lab.transforms._overflow import beyond, ties, undefined
from onnx_lab.transforms._rounded import Rounded, rounded
from onnx_lab.transforms._trials import Overflows as Looked
from onnx_lab.transforms._trials import find_overflows

_SHOWN = 8


@dataclass(frozen=True)
class Overflow:
    """A node whose result float16 cannot hold.

    `largest` is the magnitude that it reaches in float32; `becomes` is "Inf" where that is beyond float16, "NaN" where
    it makes NaN or infinity of numbers that are small enough.
    """

    node: str
    op: str
    module: str
    tensor: str
    largest: float
    becomes: str


@dataclass(frozen=True, repr=False)
class Overflows(Result):
    """What float16 cannot hold of a model, on data; truthy when it holds everything.

    Attributes
    ----------
    rows : tuple of Overflow
        In the order of the graph.
    block : tuple of str
        Nodes to keep in float32, ready for ``fp16(block_nodes=...)``.
    headroom : float
        How many times the largest tensor that does fit could grow.
    """

    model: str
    n: int
    nodes: int
    rows: tuple[Overflow, ...]
    block: tuple[str, ...]
    headroom: float
    machine: Machine

    def __bool__(self) -> bool:
        return not self.rows

    @property
    def first(self) -> Overflow | None:
        """The first one in the order of the graph; what follows may only carry it on."""
        return next(iter(self.rows), None)

    @property
    def sentences(self) -> tuple[str, ...]:
        if self.first is None:
            return (f"float16 holds every tensor; the largest could be {self.headroom:.3g} times as large",)
        f = self.first
        where = f" in {f.module}" if f.module else ""
        if f.becomes == "NaN":
            said = [f"first: {f.node} ({f.op}{where}) makes NaN or infinity of numbers that float16 holds"]
        else:
            times = f.largest / LARGEST_FP16
            said = [f"first: {f.node} ({f.op}{where}) reaches {f.largest:.3g}, {times:.2g} times what float16 holds"]
        said.append(f"{len(self.block)} of {self.nodes} nodes must stay float32 for it: found.block has their names")
        return (
            *said,
            "to try: lab.fp16(m, block_nodes=found.block), or lab.mixed_precision(m, data), which also checks",
        )

    def _records(self) -> list[dict[str, Any]]:
        return [vars(r) for r in self.rows]

    def _card(self) -> Card:
        cells = tuple((r.node, r.op, r.module, r.tensor, f"{r.largest:.3g}", r.becomes) for r in self.rows[:_SHOWN])
        header = ("node", "operator", "module", "tensor", "largest in float32", "in float16")
        tables = [Table(header, cells, "what float16 cannot hold, in order")] if cells else []
        facts = [("samples", str(self.n)), ("float16 holds", f"up to {LARGEST_FP16:g}")]
        return Card(f"{self.model} in float16", facts, tables, self.sentences)


def overflows(m: Model, data: Task | Dataset | Feeds, *, keep_io: bool = True) -> Overflows:
    """Find the nodes whose results float16 cannot hold, before a GPU does.

    Parameters
    ----------
    m : Model
        In float32: the file that `fp16` is to be made of.
    data : Task, iterable of Feeds, or one Feeds
        Typical ones and extreme ones: only what is fed is seen.
    keep_io : bool, default True
        Inputs and outputs stay float32.

    Returns
    -------
    Overflows
        ``.first``, ``.rows``, ``.block`` (for ``fp16(block_nodes=...)``), ``.sentences``.

    Raises
    ------
    BadInput
        For a file that is float16 already, or no data.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> bool(lab.overflows(m, {"x": np.ones((2, 8), np.float32)}))
    True
    >>> found = lab.overflows(m, {"x": np.full((2, 8), 1e5, np.float32)})
    >>> found.first.node, found.block[0]
    ('first/matmul', 'first/matmul')
    """
    check_model(m)
    if "float32" not in m.header.weights:
        have = ", ".join(m.header.weights) or "none"
        raise BadInput(
            f"{m.name} has no float32 weights (weights: {have})",
            accepted="the float32 model that it was made of",
            do="its lineage says which: print(m)",
        )
    refuse_frozen(m, "overflows")
    batches = list(batches_of(data))
    if not batches:
        raise BadInput("no data", accepted="one batch of feeds, or several")
    before = prepared(m)
    learn_types(before, batches[0])
    origins = {n.name: n for n in before.graph}
    graph = rounded(before.clone(), blocked_ops())
    looked = find_overflows(graph, batches, LARGEST_FP16, keep_io, nobody_listens)
    found = _found(graph, looked)
    rows = tuple(
        Overflow(node, origins[node].op_type, module_of(origins[node]), tensor, looked.seen[key].exact, becomes)
        for node, tensor, key, becomes in found
    )
    failing = {r.node for r in rows} | set(looked.reasons)
    block = tuple(n for n in graph.nodes if n in failing)
    fits = [s.exact for s in looked.seen.values() if 0 < s.exact <= LARGEST_FP16]
    headroom = LARGEST_FP16 / max(fits, default=1.0)
    n = sum(map(batch_size, batches))
    return Overflows(m.name, n, len(graph.nodes), rows, block, headroom, this_machine())


def _found(graph: Rounded, looked: Looked) -> list[tuple[str, str, str, str]]:
    """Node, tensor, the tensor's key in what was seen, what becomes of it."""
    large, strange = beyond(graph, looked.seen, LARGEST_FP16), undefined(graph, looked.seen)
    found = []
    for node, _, writes in ties(graph):
        for key in writes:
            tensor = key.removesuffix(".exact")
            if key in large:
                found.append((node, tensor, key, "Inf"))
            elif strange.get(node) == tensor and key in looked.seen:
                found.append((node, tensor, key, "NaN"))
    return found

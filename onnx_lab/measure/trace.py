"""trace: which layer first, which layer most, where two forms of one network stop agreeing.

Both are run on the same feeds, and every tensor that bears the same name in both is compared as it is read; none is
kept. Transforms keep the names of the tensors that they do not remove, so a float32 file can be held against what was
made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab._metadata import module_of
from onnx_lab.card import Card, Table
from onnx_lab.errors import BadInput
from onnx_lab.measure._differences import Sums, TensorDifference
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.measure.compare import batches_of
from onnx_lab.model import Model
from onnx_lab.runtime.activations import tapped
from onnx_lab.task import Dataset, Feeds, Task

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

_SHOWN = 8
#: A largest value this many times the typical one leaves most of 8 bits' steps unused.
_SPREAD = 20.0
#: Operators whose exclusion from a quantization makes sense.
_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "Gather", "Attention", "FusedMatMul"})


@dataclass(frozen=True, repr=False)
class Trace(Result):
    """Two models, tensor by tensor.

    Attributes
    ----------
    rows : tuple of TensorDifference
        In the order in which the second model computes them.
    first : TensorDifference or None
        The first one whose error is over `rtol`, or that has NaN or infinity; None when there is none.
    most : TensorDifference or None
        The one that adds most error to that of what it is made from; the first with NaN or infinity, if any has.
    sentences : tuple of str
        What to make of it.
    exclude : tuple of str
        Nodes that add most, worst first, ready for ``quantize(exclude_nodes=...)``.
    """

    a: str
    b: str
    n: int
    rtol: float
    rows: tuple[TensorDifference, ...]
    machine: Machine

    def __bool__(self) -> bool:
        return self.first is None

    @property
    def first(self) -> TensorDifference | None:
        return next((r for r in self.rows if r.error > self.rtol or r.bad), None)

    @property
    def most(self) -> TensorDifference | None:
        spoiled = next((r for r in self.rows if r.bad), None)  # what follows only carries it on
        return spoiled or max(self.rows, key=lambda r: r.added, default=None)

    @property
    def exclude(self) -> tuple[str, ...]:
        worst = sorted((r for r in self.rows if r.op in _PRODUCTS and r.node), key=lambda r: -r.added)
        return tuple(r.node for r in worst[:3] if r.added > self.rtol)

    @property
    def modules(self) -> dict[str, float]:
        """The user's own module -> the error of the last tensor that it makes, worst first."""
        last = {r.module: r.error for r in self.rows if r.module}
        return dict(sorted(last.items(), key=lambda kv: -kv[1]))

    @property
    def sentences(self) -> tuple[str, ...]:
        first, most = self.first, self.most
        if first is None or most is None:
            return (f"no tensor is further apart than {self.rtol:g} of its size",)
        said = [f"first over {self.rtol:g}: {_named(first)}, {_error(first)}"]
        if most.added > 0 and not most.bad:
            said.append(
                f"most is added by {_named(most)}: {most.error - most.added:.2%} before it, {most.error:.2%} after"
            )
        if most.spread > _SPREAD:
            said.append(
                f"its largest value is {most.spread:.0f} times its typical one: "
                "one scale for all of it leaves few steps for the rest"
            )
        last = self.rows[-1]
        said.append(f"at the end, {last.tensor}: {_error(last)}, cosine {last.cosine:.5f}")
        if self.exclude:
            said.append(f"to try: quantize(..., exclude_nodes={list(self.exclude)!r})")
        return tuple(said)

    def _records(self) -> list[dict[str, Any]]:
        return [vars(r) for r in self.rows]

    def _card(self) -> Card:
        header = ("tensor", "made by", "module", "error", "added here", "largest", "cosine")
        worst = sorted(self.rows, key=lambda r: (not r.bad, -r.added))[:_SHOWN]
        cells = tuple(
            (r.tensor, r.op, r.module, _error(r), f"{r.added:.2%}", f"{r.largest:.2e}", f"{r.cosine:.5f}")
            for r in worst
        )
        top = max((r.added for r in worst), default=0.0) or 1.0
        tables = [
            Table(header, cells, "where most error is added", bars={(i, 4): r.added / top for i, r in enumerate(worst)})
        ]
        if self.modules:
            rows = tuple((m, f"{e:.2%}") for m, e in list(self.modules.items())[:_SHOWN])
            tables.append(Table(("module", "error at its end"), rows, "the modules that are furthest apart"))
        facts = [("compared", f"{len(self.rows)} tensors that both have"), ("samples", str(self.n))]
        return Card(f"{self.b} against {self.a}, tensor by tensor", facts, tables, self.sentences)


def trace(
    a: Model,
    b: Model,
    data: Task | Dataset | Feeds,
    *,
    rtol: float = 1e-3,
    stop_at_first: bool = False,
    cap_mb: float = 512,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> Trace:
    """Compare every tensor that two models have in common, and say where they part.

    Parameters
    ----------
    a, b : Model
        `a` is what is right by definition: the export, and what a transform made of it.
    data : Task, iterable of Feeds, or one Feeds
        What both are run on. A few samples tell; positions that an ``attention_mask`` hides do not count.
    rtol : float, default 1e-3
        Relative error (norm of the difference by the norm) over which a tensor counts as apart.
    stop_at_first : bool, default False
        Read no further than the first tensor that is apart.
    cap_mb : float, default 512
        Megabytes of tensors held at once, of each model.
    progress : callable, optional
        Called with a dict: ``kind`` "tracing", ``done`` and ``of`` in tensors, ``state`` in words.

    Returns
    -------
    Trace
        Truthy when all agree; ``.first``, ``.most``, ``.sentences``, ``.exclude``.

    Raises
    ------
    BadInput
        When there is no data, or the two have no tensor in common.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> found = lab.trace(m, lab.fp16(m), {"x": np.ones((2, 8), np.float32)}, rtol=0.1)
    >>> bool(found), found.rows[-1].tensor
    (True, 'logits')
    """
    left, right = a.to_ir(), b.to_ir()
    names = _common(left, right, a.name, b.name)
    sums = {n: Sums() for n in names}
    samples, apart = 0, False
    cap = int(cap_mb * 1e6)
    with tapped(left, names, cap_bytes=cap) as one, tapped(right, names, cap_bytes=cap) as other:
        for feeds in batches_of(data):
            samples += len(next(iter(feeds.values())))
            for done, ((name, x), (_, y)) in enumerate(zip(one.read(feeds), other.read(feeds), strict=True)):
                _count(sums, name, x, y, feeds)
                if progress:
                    state = f"{name}, tensor {done + 1} of {len(names)}, {samples} samples"
                    progress({"kind": "tracing", "done": done + 1, "of": len(names), "state": state})
                apart = name in sums and (sums[name].error > rtol or bool(sums[name].bad))
                if stop_at_first and apart:
                    break
            if stop_at_first and apart:
                break
    if not samples:
        raise BadInput("no data", accepted="one batch of feeds, or several")
    return Trace(a.name, b.name, samples, rtol, tuple(_rows(left, right, sums)), this_machine())


def _common(a: ir.Model, b: ir.Model, left: str, right: str) -> list[str]:
    """Tensors of both by name, in the order of `b`."""
    theirs = {v.name for node in a.graph for v in node.outputs if v.name}
    names = [v.name for node in b.graph for v in node.outputs if v.name and v.name in theirs]
    if not names:
        raise BadInput(
            f"{left} and {right} have no tensor of the same name",
            accepted="two forms of one network, such as a file and what a transform made of it",
        )
    return names


def _count(sums: dict[str, Sums], name: str, x: np.ndarray, y: np.ndarray, feeds: Feeds) -> None:
    """Numbers of the same shape are counted; anything else is no comparison and goes."""
    if name not in sums:
        return
    if x.shape != y.shape or x.dtype.kind != "f" or y.dtype.kind != "f":
        del sums[name]
        return
    mask = feeds.get("attention_mask")
    if mask is not None and x.ndim > 2 and x.shape[:2] == mask.shape:
        shown = mask.astype(bool)
        x, y = x[shown], y[shown]
    sums[name].add(x, y)


def _rows(a: ir.Model, b: ir.Model, sums: Mapping[str, Sums]) -> Iterable[TensorDifference]:
    """In the order of `b`, each with what it adds to the error of the tensors that it is made from."""
    makers = {v.name: node for node in a.graph for v in node.outputs}
    carried: dict[str, float] = {}
    for node in b.graph:
        before = max((carried.get(v.name or "", 0.0) for v in node.inputs if v is not None), default=0.0)
        for value in node.outputs:
            name = value.name or ""
            carried[name] = before
            if name in sums:
                carried[name] = sums[name].error
                maker = makers[name]
                module = module_of(maker) or module_of(node)
                added = max(0.0, sums[name].error - before)
                yield sums[name].result(name, maker.name or "", maker.op_type, module, added)


def _named(r: TensorDifference) -> str:
    where = f" in {r.module}" if r.module else ""
    return f"{r.tensor} ({r.op}{where})"


def _error(r: TensorDifference) -> str:
    return r.bad or f"{r.error:.2%}"

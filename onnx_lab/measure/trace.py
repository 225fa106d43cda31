"""trace: which layer first, which layer most, where two forms of one network stop agreeing.

Both are run on the same feeds, and every tensor that both have is compared as it is read; none is kept. Two files know
each other's tensors by name (transforms keep the names of what they do not remove), across a quantization by what the
quantizer made of the name, else by the user's own modules. A PyTorch module is heard by forward hooks, and held against
what leaves the same module in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab.card import Card, Table
from onnx_lab.errors import BadInput
from onnx_lab.measure._answers import name_of
from onnx_lab.measure._differences import TensorDifference
from onnx_lab.measure._match import Pair, pairs
from onnx_lab.measure._reading import Reading
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.measure._sides import Side, Source, heard, source_pairs
from onnx_lab.measure._trace_rows import PRODUCTS, rows_of
from onnx_lab.measure._weight_errors import WeightDifference, weight_differences
from onnx_lab.measure.compare import batches_of
from onnx_lab.model import Model
from onnx_lab.runtime.activations import tapped
from onnx_lab.task import Dataset, Feeds, Task

if TYPE_CHECKING:
    import onnx_ir as ir

_SHOWN = 8
_WEIGHTS_SHOWN = 5
#: A largest value this many times the typical one leaves most of 8 bits' steps unused.
_SPREAD = 20.0
#: Nodes that `exclude` names at most.
_EXCLUDED = 3


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
    first_bad : TensorDifference or None
        The first with NaN or infinity that the first model does not have.
    modules : dict of str to float
        The user's own module -> the error of the last tensor that it makes, worst first.
    weights : tuple of WeightDifference
        The weights that are not the same in both, worst first; 8 bits are read with their scales.
    exclude : tuple of str
        Nodes that add most, worst first, ready for ``quantize(exclude_nodes=...)``.
    quantized : bool
        Whether the second has weights in 8 bits.
    """

    a: str
    b: str
    n: int
    rtol: float
    rows: tuple[TensorDifference, ...]
    machine: Machine
    weights: tuple[WeightDifference, ...] = ()
    quantized: bool = False

    def __bool__(self) -> bool:
        return self.first is None

    @property
    def first(self) -> TensorDifference | None:
        return next((r for r in self.rows if r.error > self.rtol or r.bad), None)

    @property
    def most(self) -> TensorDifference | None:
        return self.first_bad or max(self.rows, key=lambda r: r.added, default=None)

    @property
    def first_bad(self) -> TensorDifference | None:
        return next((r for r in self.rows if r.bad), None)  # what follows only carries it on

    @property
    def exclude(self) -> tuple[str, ...]:
        added: dict[str, float] = {}
        for r in self.rows:
            # what is rounded on its way into a product stays float with that product
            for node in r.readers or ([r.node] if r.op in PRODUCTS and r.node else []):
                added[node] = added.get(node, 0.0) + r.added
        worst = sorted(added, key=lambda n: -added[n])
        some = min(_EXCLUDED, max(1, len(worst) // 2))  # without all of its products a file is float again
        return tuple(n for n in worst[:some] if added[n] > self.rtol)

    @property
    def modules(self) -> dict[str, float]:
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
        if self.weights:
            w = self.weights[0]
            reader = f", read by {w.node}" if w.node else ""
            said.append(f"the weight that is furthest off: {w.weight} ({w.dtype}{reader}), {w.error:.2%}")
        last = self.rows[-1]
        said.append(f"at the end, {last.tensor}: {_error(last)}, cosine {last.cosine:.5f}")
        if self.exclude and self.quantized:
            said.append(f"to try: quantize(..., exclude_nodes={list(self.exclude)!r})")
        return tuple(said)

    def _records(self) -> list[dict[str, Any]]:
        return [vars(r) for r in self.rows]

    def _card(self) -> Card:
        header = ("tensor", "made by", "module", "error", "added here", "largest", "SNR", "cosine")
        worst = sorted(self.rows, key=lambda r: (not r.bad, -r.added))[:_SHOWN]
        cells = tuple(
            (
                r.tensor,
                r.op,
                r.module,
                _error(r),
                f"{r.added:.2%}",
                f"{r.largest:.2e}",
                f"{r.snr:.1f} dB",
                f"{r.cosine:.5f}",
            )
            for r in worst
        )
        top = max((r.added for r in worst), default=0.0) or 1.0
        tables = [
            Table(header, cells, "where most error is added", bars={(i, 4): r.added / top for i, r in enumerate(worst)})
        ]
        if self.modules:
            rows = tuple((m, f"{e:.2%}") for m, e in list(self.modules.items())[:_SHOWN])
            tables.append(Table(("module", "error at its end"), rows, "the modules that are furthest apart"))
        if self.weights:
            tables.append(self._weights_table())
        facts = [("compared", f"{len(self.rows)} tensors that both have"), ("samples", str(self.n))]
        return Card(f"{self.b} against {self.a}, tensor by tensor", facts, tables, self.sentences)

    def _weights_table(self) -> Table:
        header = ("weight", "now", "read by", "error", "SNR", "largest")
        cells = tuple(
            (w.weight, w.dtype, w.module or w.node, f"{w.error:.2%}", f"{w.snr:.1f} dB", f"{w.largest:.2e}")
            for w in self.weights[:_WEIGHTS_SHOWN]
        )
        return Table(header, cells, f"{len(self.weights)} weights are not the same; the worst")


def trace(
    a: Source,
    b: Model,
    data: Task | Dataset | Feeds,
    *,
    rtol: float = 1e-3,
    stop_at_first: bool = False,
    cap_mb: float = 512,
    weights: bool = True,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> Trace:
    """Compare every tensor that two models have in common, and say where they part.

    Parameters
    ----------
    a : Model or torch.nn.Module
        What is right by definition: an export, or the module it was made from, whose modules are then compared.
    b : Model
        What a transform, or the export, made of it.
    data : Task, iterable of Feeds, or one Feeds
        What both are run on. A few samples tell; positions that an ``attention_mask`` hides do not count.
    rtol : float, default 1e-3
        Relative error (norm of the difference by the norm) over which a tensor counts as apart.
    stop_at_first : bool, default False
        Read no further than the first tensor that is apart.
    cap_mb : float, default 512
        Megabytes of tensors held at once, by this process and the two engines together.
    weights : bool, default True
        Also compare the weights of two files.
    progress : callable, optional
        Called with a dict: ``kind`` "tracing", ``done`` and ``of`` in tensors, ``state`` in words.

    Returns
    -------
    Trace
        Truthy when all agree; ``.first``, ``.most``, ``.modules``, ``.sentences``, ``.weights``, ``.exclude``.

    Raises
    ------
    BadInput
        When there is no data, or the two have no tensor in common.
    MissingExtra
        Without PyTorch, for a module.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> found = lab.trace(m, lab.fp16(m), {"x": np.ones((2, 8), np.float32)}, rtol=0.1)
    >>> bool(found), found.rows[-1].tensor
    (True, 'logits')
    """
    if not isinstance(b, Model):
        raise BadInput(f"a {type(b).__name__} as the second", accepted="a Model", do="lab.trace(source, model, feeds)")
    right = b.to_ir()
    found, left = _matched(a, b, right)
    reading = Reading(found, int(cap_mb * 1e6), rtol, stop_at_first, progress)
    other_side = tapped(right, [p.b for p in found], cap_bytes=reading.cap_bytes)
    with _opened(a, left, found, reading.cap_bytes) as one, other_side as other:
        for feeds in batches_of(data):
            reading.read(one, other, feeds)
            if reading.over:
                break
    if not reading.samples:
        raise BadInput("no data", accepted="one batch of feeds, or several")
    rows = tuple(rows_of(left, right, found, reading.sums, rtol))
    changed = weight_differences(left, right) if left is not None and weights else []
    eight_bits = any("int8" in t for t in b.header.weights)
    return Trace(name_of(a), b.name, reading.samples, rtol, rows, this_machine(), tuple(changed), eight_bits)


def _matched(a: Source, b: Model, right: ir.Model) -> tuple[list[Pair], ir.Model | None]:
    """Which tensors are held against each other, and the first one's graph where it is a file."""
    if not isinstance(a, Model):
        return source_pairs(a, right), None
    left = a.to_ir()
    if found := pairs(left, right):
        return found, left
    raise BadInput(
        f"{a.name} and {b.name} have no tensor of the same name, and no module",
        accepted="two forms of one network, such as a file and what a transform made of it",
    )


def _opened(a: Source, left: ir.Model | None, found: Sequence[Pair], cap_bytes: int) -> AbstractContextManager[Side]:
    return heard(a) if left is None else tapped(left, [p.a for p in found], cap_bytes=cap_bytes)


def _named(r: TensorDifference) -> str:
    where = f" in {r.module}" if r.module else ""
    return f"{r.tensor} ({r.op}{where})"


def _error(r: TensorDifference) -> str:
    return r.bad or f"{r.error:.2%}"

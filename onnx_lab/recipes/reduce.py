"""reduce: the smallest part of a model that still shows what is wrong with it, as files of its own.

Two forms of one network have tensors in common. A part lies between some of them: fed with what the first model has
there, both parts are asked for the same tensor. The part is made as small as it may be, by bisection, while the two
still disagree. A single model is reduced the same way, where a function says what "wrong" is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab import workspace
from onnx_lab._a_model import check_model
from onnx_lab._metadata import module_of
from onnx_lab.card import Card, Table
from onnx_lab.errors import BadInput
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.measure.compare import batches_of
from onnx_lab.measure.trace import trace
from onnx_lab.model import Model
from onnx_lab.produce import Made, produce
from onnx_lab.recipes._cuts import cut
from onnx_lab.recipes._parts import Fails, Parts, opened
from onnx_lab.task import Dataset, Feeds, Task

if TYPE_CHECKING:
    import onnx_ir as ir

#: Ends that are tried by themselves before a longer part is looked for.
_ENDS = 4
_SHOWN = 12


@dataclass(frozen=True, repr=False)
class Reduction(Result):
    """The smallest part that still shows it.

    Attributes
    ----------
    a, b : Model or None, Model
        The part of each model; `a` is None where there was only one.
    feeds : dict of str to array
        What the parts are fed: what the first model has there.
    file : Path
        The feeds as ``.npz``, beside `b`.
    output : str
        The tensor on which they disagree.
    error : float
        By how much: norm of the difference by the norm. NaN for a single model.
    nodes : tuple of (str, str, str)
        Name, operator and module of each node of `b`'s part.
    of : int
        Nodes of the whole model.
    tries : int
        Parts that were run.
    """

    a: Model | None
    b: Model
    feeds: Feeds
    file: Path
    output: str
    error: float
    nodes: tuple[tuple[str, str, str], ...]
    of: int
    tries: int
    machine: Machine

    def save(self, folder: str | Path) -> Path:
        """Copy both parts and their feeds to `folder`, as ``a.onnx``, ``b.onnx`` and ``feeds.npz``."""
        into = Path(folder)
        into.mkdir(parents=True, exist_ok=True)
        for name, m in (("a", self.a), ("b", self.b)):
            if m is not None:
                m.save(into / f"{name}.onnx")
        (into / "feeds.npz").write_bytes(self.file.read_bytes())
        return into

    def _records(self) -> list[dict[str, Any]]:
        return [dict(zip(("node", "operator", "module"), n, strict=True)) for n in self.nodes]

    def _card(self) -> Card:
        given = ", ".join(f"{k} {v.dtype}{list(v.shape)}" for k, v in self.feeds.items()) or "nothing"
        rows = [("part", f"{len(self.nodes)} of {self.of} nodes, found in {self.tries} tries")]
        rows += [("from", given), ("to", self.output)]
        rows += [("apart by", f"{self.error:.2%}")] if self.a is not None else []
        names = [m.name for m in (self.a, self.b) if m is not None]
        rows += [("files", f"{' and '.join(names)}, feeds in {self.file.name}")]
        table = Table(("node", "operator", "module"), self.nodes[:_SHOWN])
        return Card("the smallest part that still shows it", rows, [table], ["take it along: found.save('folder')"])


def reduce(
    a: Model,
    b: Model | None = None,
    data: Task | Dataset | Feeds | None = None,
    *,
    fails: Fails | None = None,
    rtol: float = 1e-2,
) -> Reduction:
    """Cut the smallest part out of two models on which they still disagree, or out of one that still fails.

    Parameters
    ----------
    a : Model
        What is right by definition; or the only one.
    b : Model, optional
        What a transform made of it.
    data : Task, iterable of Feeds, or one Feeds
        The first batch is used.
    fails : callable, optional
        For one model: ``fails(part, feeds) -> bool`` is asked of each part; keep to what a part has.
    rtol : float, default 1e-2
        Relative error (norm of the difference by the norm) that counts as disagreement.

    Returns
    -------
    Reduction
        ``.a``, ``.b``: the two parts as Models with a lineage; ``.feeds``, and the file they are saved in.

    Raises
    ------
    BadInput
        When the two agree, have no tensor in common, or `fails` finds nothing wrong with the whole.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> m, feeds = lab.samples.tiny(), {"x": np.ones((2, 8), np.float32)}
    >>> found = lab.reduce(m, data=feeds, fails=lambda part, feeds: "Relu" in part.header.operators)
    >>> [op for _, op, _ in found.nodes]
    ['Relu']
    """
    check_model(a) if b is None else check_model(a, b)
    if (b is None) == (fails is None):
        raise BadInput("one model and no fails=" if b is None else "two models and fails=", accepted="either")
    feeds = next(iter(batches_of(data)), None) if data is not None else None
    if feeds is None:
        raise BadInput("no data", accepted="one batch of feeds", do="lab.reduce(a, b, feeds)")
    with opened(a, b, feeds) as parts:
        if b is not None:
            e, k = _by_difference(parts, a, b, rtol)
        else:
            assert fails is not None
            e, k = _by_predicate(parts, fails)
        return _result(parts, a, b, e, k)


def _by_difference(parts: Parts, a: Model, b: Model, rtol: float) -> tuple[int, int]:
    """The end and the length of the smallest part on which the two disagree."""
    found = trace(a, b, parts.whole_feeds, rtol=rtol, weights=False)
    known = {n: i for i, n in enumerate(parts.names)}
    rows = [r for r in found.rows if r.tensor in known and (r.error > rtol or r.bad)]
    if not rows:
        raise BadInput(f"no tensor of {a.name} and {b.name} is apart by more than {rtol:g}", do="a smaller rtol=")

    def shows(e: int, k: int) -> bool:
        sums = parts.apart(e, k)
        return sums.error > rtol or bool(sums.bad)

    ends = [known[r.tensor] for r in sorted(rows, key=lambda r: (not r.bad, -r.added))]
    for e in dict.fromkeys([*ends[: _ENDS - 1], known[rows[0].tensor]]):
        if shows(e, 0):
            return e, 0
    e = known[rows[0].tensor]
    return e, _least(e, lambda k: shows(e, k))


def _by_predicate(parts: Parts, fails: Fails) -> tuple[int, int]:
    last = len(parts.names) - 1
    if not parts.fails(fails, last, last):
        raise BadInput("fails says that nothing is wrong with the whole model", accepted="True for the whole")
    e = _least(last, lambda i: parts.fails(fails, i, i))
    return e, _least(e, lambda k: parts.fails(fails, e, k))


def _least(most: int, holds: Callable[[int], bool]) -> int:
    """The smallest number for which it holds, where it holds from there on; it does for `most`."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high


def _result(parts: Parts, a: Model, b: Model | None, e: int, k: int) -> Reduction:
    feeds, output = parts.feeds(e, k), parts.names[e]
    error = parts.apart(e, k).error if b is not None else float("nan")
    made = [_made(m, g, parts.own(g, e, k, feeds), output) for m, g in _both(parts, a, b)]
    for m in made:
        _save(feeds, m.path.with_name("feeds.npz"))
    graph = made[-1].to_ir().graph
    nodes = tuple((n.name or "", n.op_type, module_of(n)) for n in graph)
    whole = (b or a).header.nodes
    first = made[0] if b is not None else None
    file = made[-1].path.with_name("feeds.npz")
    return Reduction(first, made[-1], feeds, file, output, error, nodes, whole, parts.tries, this_machine())


def _both(parts: Parts, a: Model, b: Model | None) -> list[tuple[Model, ir.Model]]:
    return [(a, parts.left)] + ([(b, parts.right)] if b is not None and parts.right is not None else [])


def _made(m: Model, graph: ir.Model, feeds: Feeds, output: str) -> Model:
    digest = hashlib.sha256()
    for name, value in feeds.items():
        digest.update(f"{name} {value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    options = {"inputs": list(feeds), "output": output, "feeds": f"sha256 {digest.hexdigest()[:12]}"}

    def body() -> Made:
        part = cut(graph, feeds, output)
        return Made(part, {"say": [f"{len(part.graph)} of {m.header.nodes} nodes, to {output}"]})

    return produce("reduce", options, body, tools=["onnx-lab", "onnx-ir"], name=f"{m.name}-part", parent=m)


def _save(feeds: Feeds, path: Path) -> None:
    with workspace.scratch() as folder:
        np.savez(folder / "feeds.npz", allow_pickle=False, **feeds)
        os.replace(folder / "feeds.npz", path)

"""compare: how far two models' answers are apart, on data.

For outputs a and b over all samples:
    largest  = max |a - b|         mean = mean |a - b|
    cosine_i = <a_i, b_i> / (|a_i| |b_i|), per sample i, all its elements in one vector
    changed  = share of samples whose highest score along the last axis stands elsewhere
Where a mask is fed and an output has the sequence axis, padded positions do not count: nobody reads them. Outputs of
text (a classifier's label) differ by 1 where they are not equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_lab._progress import counted
from onnx_lab.card import Card, Table
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.measure._answers import Answerer, Answers, answering, name_of
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.model import Model
from onnx_lab.runtime.target import Target
from onnx_lab.task import Dataset, Feeds, Task

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OutputDifference:
    """How far one output is apart.

    `changed` is the share of samples whose top answer differs, or whose label does where the output is one label for
    each sample; None for outputs that are neither (one column, or more than two axes). `nan` counts samples with a
    NaN on one side only.
    """

    name: str
    largest: float
    mean: float
    cosine_mean: float
    cosine_min: float
    changed: float | None
    nan: int
    close: bool


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Two models on the same data; truthy when all outputs are within the tolerances."""

    a: str
    b: str
    n: int
    rtol: float
    atol: float
    outputs: tuple[OutputDifference, ...]
    machine: Machine

    def __bool__(self) -> bool:
        return all(o.close for o in self.outputs)

    @property
    def largest(self) -> float:
        """The largest difference of any output."""
        return max(o.largest for o in self.outputs)

    def _records(self) -> list[dict[str, Any]]:
        return [vars(o) for o in self.outputs]

    def _card(self) -> Card:
        header = ("output", "largest", "mean", "cosine", "worst cosine", "top answer changed", "within tolerance")
        cells = tuple(
            (
                o.name,
                f"{o.largest:.2e}",
                f"{o.mean:.2e}",
                f"{o.cosine_mean:.5f}",
                f"{o.cosine_min:.5f}",
                "" if o.changed is None else f"{o.changed:.1%}",
                "yes" if o.close else "no",
            )
            for o in self.outputs
        )
        rows = [("samples", str(self.n)), ("tolerance", f"|a − b| ≤ {self.atol:g} + {self.rtol:g} |a|")]
        notes = [f"{o.name}: {o.nan} samples hold NaN on one side only" for o in self.outputs if o.nan]
        return Card(f"{self.a} against {self.b}", rows, [Table(header, cells)], notes)


def compare(
    a: Answerer,
    b: Answerer,
    data: Task | Dataset | Feeds,
    *,
    rtol: float = 1e-3,
    atol: float = 1e-4,
    target: Target | str | None = None,
    output: str | None = None,
) -> Comparison:
    """How far the answers of `b` are from those of `a`.

    Parameters
    ----------
    a, b : Model or torch.nn.Module
        `a` is what is right by definition.
    data : Task, iterable of Feeds, or one Feeds
        What both are run on.
    rtol, atol : float
        Within tolerance means ``|a - b| <= atol + rtol * |a|`` everywhere, as in `numpy.allclose`.
    target : str or Target, optional
        Where Models run. Default: the CPU provider.
    output : str, optional
        Look at this output only. Default: all that both have.

    Returns
    -------
    Comparison
        Truthy when within tolerance.

    Raises
    ------
    BadInput
        When there is no data, the two have no output in common, or one has another shape in each.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> same = lab.compare(m, lab.simplify(m), {"x": np.ones((3, 8), np.float32)})
    >>> bool(same), same.outputs[0].changed
    (True, 0.0)
    """
    batches = batches_of(data)
    tallies: dict[str, _Tally] = {}
    with answering(a, target) as run_a, answering(b, target) as run_b:
        for feeds in counted(batches, "comparing batch"):
            left, right = run_a(feeds), run_b(feeds)
            for name in _common(left, right, name_of(a), name_of(b), output):
                mask = _mask(feeds, left[name], name, (a, b))
                tallies.setdefault(name, _Tally(name, rtol, atol)).add(left[name], right[name], mask)
    if not tallies:
        raise BadInput("no data: not one batch of feeds", accepted="a Task, a list of Feeds, or one Feeds")
    outputs = tuple(t.result() for t in tallies.values())
    n = max(t.n for t in tallies.values())
    return Comparison(name_of(a), name_of(b), n, rtol, atol, outputs, this_machine())


class _Tally:
    """Collects one output over all batches; keeps sums and per-sample figures, not the tensors."""

    def __init__(self, name: str, rtol: float, atol: float) -> None:
        self.name, self.rtol, self.atol = name, rtol, atol
        self.n = self.nan = self.count = 0
        self.largest = self.total = 0.0
        self.cosines: list[float] = []
        self.moved: list[bool] = []
        self.close = True

    def add(self, a: npt.NDArray[np.generic], b: npt.NDArray[np.generic], mask: npt.NDArray[np.bool_] | None) -> None:
        if a.shape != b.shape:
            raise BadInput(f"output {self.name!r} of {list(a.shape)} and {list(b.shape)}", accepted="equal shapes")
        x, y = (np.atleast_1d(v) for v in _numbers(a, b))
        keep = np.broadcast_to(
            True if mask is None else mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x.shape
        )
        x, y = np.where(keep, x, 0.0), np.where(keep, y, 0.0)
        only_one = np.isnan(x) != np.isnan(y)
        self.nan += int(only_one.reshape(len(x), -1).any(axis=1).sum())
        self.close &= bool(np.allclose(y, x, self.rtol, self.atol, equal_nan=True))
        gap = np.abs(np.nan_to_num(x) - np.nan_to_num(y))
        self.n += len(x)
        self.count += int(keep.sum())
        self.largest = max(self.largest, float(gap.max(initial=0.0)))
        self.total += float(gap.sum())
        self.cosines += _cosines(np.nan_to_num(x), np.nan_to_num(y)).tolist()
        if x.ndim == 2 and x.shape[1] > 1:
            top_x, top_y = (np.where(keep, v, -np.inf).argmax(axis=1) for v in (x, y))
            self.moved += (top_x != top_y).tolist()
        elif x.ndim == 1 and a.dtype.kind not in "fc":  # one label for each sample
            self.moved += (x != y).tolist()

    def result(self) -> OutputDifference:
        return OutputDifference(
            self.name,
            self.largest,
            self.total / max(self.count, 1),
            float(np.mean(self.cosines)),
            float(np.min(self.cosines)),
            float(np.mean(self.moved)) if self.moved else None,
            self.nan,
            self.close,
        )


def _cosines(x: _Array, y: _Array) -> _Array:
    """Cosine per sample; two zero vectors agree, a zero and a non-zero one do not."""
    u, v = x.reshape(len(x), -1), y.reshape(len(y), -1)
    norms = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    both_zero = ~u.any(axis=1) & ~v.any(axis=1)
    return np.where(both_zero, 1.0, (u * v).sum(axis=1) / np.where(norms == 0, 1.0, norms))


def _numbers(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> tuple[_Array, _Array]:
    """Both as float64; text becomes 0 where it is the same and 0 and 1 where it is not."""
    if a.dtype.kind in "OUS" or b.dtype.kind in "OUS":
        return np.zeros(a.shape), (a != b).astype(np.float64)
    return a.astype(np.float64), b.astype(np.float64)


def batches_of(data: Task | Dataset | Feeds) -> Iterable[Feeds]:
    """The feeds of a Task, of a dataset, or the one that was given."""
    if isinstance(data, Task):
        return data.feeds
    return [dict(data)] if isinstance(data, Mapping) else data


def _mask(
    feeds: Feeds, value: npt.NDArray[np.generic], name: str, who: tuple[Answerer, Answerer]
) -> npt.NDArray[np.bool_] | None:
    """The attention mask of `feeds`, where this output has its (batch, sequence) axes in front; else None."""
    mask = feeds.get("attention_mask")
    if mask is None or mask.ndim != 2 or value.shape[:2] != mask.shape:
        return None
    # scores of as many classes as the text has tokens look the same: there the axis' name decides
    if value.ndim == 2 and not any(isinstance(m, Model) and _shares_axis(m, name) for m in who):
        return None
    return mask.astype(bool)


def _shares_axis(m: Model, output: str) -> bool:
    """Whether the second axis of `output` is that of the mask, by its name or its fixed size."""
    axes = [s.shape[1] for s in (*m.inputs, *m.outputs) if s.name in ("attention_mask", output) and len(s.shape) == 2]
    return len(axes) == 2 and axes[0] is not None and axes[0] == axes[1]


def _common(left: Answers, right: Answers, a: str, b: str, only: str | None) -> list[str]:
    names = [n for n in left if n in right]
    if only is not None:
        if only not in names:
            raise BadInput(f"output {only!r}", accepted=", ".join(names), do=did_you_mean(only, names))
        return [only]
    if not names:
        raise BadInput(
            f"{a} gives {', '.join(left)}; {b} gives {', '.join(right)}",
            accepted="at least one output of the same name",
            do="export both with the same output_names",
        )
    return names

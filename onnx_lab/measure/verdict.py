"""verdict: size, speed and answers of some Models side by side, and which one to take.

Rules, in this order:
1. A Model qualifies when it keeps the answers: on a Task, at most `max_points_lost` points of accuracy below the
   baseline; without one, a mean cosine of at least `min_cosine` to the baseline's outputs on `data`, or on random feeds
   (said to be random).
2. It must also meet `max_ms` and `max_mb` where they are given.
3. Among those that qualify, the one with the best measured ratio wins; when its interval overlaps a smaller Model's,
   the smaller one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx_lab._a_model import check_model
from onnx_lab.card import Card, Table, megabytes, milliseconds
from onnx_lab.errors import BadInput
from onnx_lab.measure._judging import (
    KEEPS_COSINE,
    Candidate,
    Judge,
    Limits,
    VerdictRow,
    bystander,
    choose,
    first_shape,
    rows_of,
)
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.measure.accuracy import accuracy
from onnx_lab.measure.bench import Benchmark, Row
from onnx_lab.model import Model
from onnx_lab.runtime.target import Target
from onnx_lab.task import Dataset, Task

__all__ = ["Verdict", "VerdictRow", "verdict"]


@dataclass(frozen=True, repr=False)
class Verdict(Result):
    """The table, and `best`: the Model to take, on the target `best_target` (None when none qualifies)."""

    rows: tuple[VerdictRow, ...]
    best: Model | None
    baseline: str
    shape: str
    asked: str
    machine: Machine
    best_target: Target | None = None
    label: str = ""  #: what `best` is called in the table, where that is not its own name

    @property
    def taken(self) -> str:
        """What `best` is called; empty when none qualifies."""
        return self.label or (self.best.name if self.best else "")

    def __bool__(self) -> bool:
        return self.best is not None

    def _records(self) -> list[dict[str, Any]]:
        return [vars(r) for r in self.rows]

    def _card(self) -> Card:
        taken, on = self.taken or None, str(self.best_target or "")
        header = ("model", "on", "size", "of baseline", "latency", "speed", "accuracy", "verdict")
        shown = tuple(cells(r, _is(r, taken, on)) for r in self.rows)
        tones = {
            (i, 7): "good" if _is(r, taken, on) else "" if r.qualifies else "bad"
            for i, r in enumerate(self.rows)
            if r.why
        }
        title = f"take {taken}" if taken else "none qualifies"
        rows = [
            ("asked", self.asked),
            ("shape", self.shape),
            ("machine", f"{self.machine.cpu}, {self.machine.threads} threads"),
        ]
        return Card(title, rows, [Table(header, shown, "", tones)])


def verdict(
    models: Sequence[Model | tuple[Model, Target | str]] | Mapping[str, Model | tuple[Model, Target | str]],
    *,
    task: Task | None = None,
    data: Dataset | None = None,
    speed: Benchmark | None = None,
    baseline: Model | None = None,
    max_points_lost: float = 1.0,
    min_cosine: float = KEEPS_COSINE,
    max_ms: float | None = None,
    max_mb: float | None = None,
) -> Verdict:
    """Put size, speed and accuracy of `models` side by side and say which one to take.

    Parameters
    ----------
    models : sequence of Model, or of (Model, target), or dict of name -> one of these
        The candidates; in a dict they are called by its names, as in `onnx_lab.bench`. With a target its answers are
        asked there, and only its timings there count.
    task : Task, optional
        What accuracy means. Without it the outputs are compared with the baseline's.
    data : dataset, optional
        Feeds to compare on where there is no Task. Default: random ones.
    speed : Benchmark, optional
        From `onnx_lab.bench`, holding rows with the names of the models; its first shape is shown. Rows of
        contestants that are not among `models` (PyTorch) are shown for orientation.
    baseline : Model, optional
        What size and accuracy are compared with. Default: the first of `models`.
    max_points_lost : float, default 1.0
        Accuracy points (of 100) a candidate may lose.
    min_cosine : float, default 0.999
        Without a Task: the mean cosine to the baseline's outputs that a candidate must keep.
    max_ms, max_mb : float, optional
        The budget: median latency in milliseconds, file size in MB (10^6 bytes).

    Returns
    -------
    Verdict
        Truthy when a Model qualifies; `.best` is that Model.

    Raises
    ------
    BadInput
        When `models` is empty, two of them share a name, or a limit needs a measurement that was not given.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> lab.verdict([m, lab.simplify(m, name="slim")]).best.name in ("tiny", "slim")
    True
    """
    limits = Limits(max_points_lost, min_cosine, max_ms, max_mb)
    return judged(_candidates(models), limits, task=task, data=data, speed=speed, baseline=baseline)


def judged(
    found: Sequence[Candidate],
    limits: Limits,
    *,
    task: Task | None,
    data: Dataset | None,
    speed: Benchmark | None,
    baseline: Model | None,
) -> Verdict:
    """The verdict on candidates; twins are asked once."""
    _check(found, speed, limits.max_ms)
    base = baseline or found[0].model
    judge = Judge(base, limits, task, data, accuracy(base, task) if task else None)
    rows, whose = [], []
    known: dict[tuple[str, str], dict[str, float | None]] = {}
    for c in found:
        asked = str((c.twin or c.model).path), c.on
        worth = known[asked] if asked in known else known.setdefault(asked, judge.worth(c))
        timings: list[Row | None] = [*rows_of(speed, c)]
        for timed in timings or [None]:
            rows.append(judge.row(c, timed, worth))
            whose.append(c)
    best = choose(rows)
    taken = whose[rows.index(best)] if best else None
    timed_rows = first_shape(speed)
    others = [bystander(r) for r in timed_rows if r.name not in {c.name for c in found}]
    shape = "not timed"
    if timed_rows:
        first = timed_rows[0]
        shape = f"batch {first.batch}" + ("" if first.seq is None else f", sequence {first.seq}")
    return Verdict(
        rows=(*others, *rows),
        best=taken.model if taken else None,
        baseline=base.name if baseline else found[0].name,
        shape=shape,
        asked=limits.words(task),
        machine=this_machine(),
        best_target=Target.of(taken.target or _plain(best.target)) if taken and best else None,
        label=taken.label if taken else "",
    )


def _candidates(given: Any) -> list[Candidate]:
    if isinstance(given, Mapping):
        if strange := [name for name in given if not isinstance(name, str)]:
            raise BadInput(f"a model called {strange[0]!r}", accepted="names as text: {'fp32': m, ...}")
        return [Candidate(*_pair(m), label=name) for name, m in given.items()]
    return [Candidate(*_pair(m)) for m in given]


def _pair(given: Any) -> tuple[Model, Target | None]:
    if isinstance(given, tuple) and len(given) == 2:
        return given[0], Target.of(given[1])
    return given, None


def _plain(on: str) -> str:
    return on.split("[")[0]


def _is(r: VerdictRow, name: str | None, on: str) -> bool:
    return r.name == name and (not r.target or on in ("", _plain(r.target), r.target))


def _check(found: Sequence[Candidate], speed: Benchmark | None, max_ms: float | None) -> None:
    check_model(*(c.model for c in found))
    names = [(c.name, c.on) for c in found]
    if not names:
        raise BadInput("no models", accepted="a list of Models", do="lab.verdict([fp32, int8], task=...)")
    if len(set(names)) < len(names):
        said = [" on ".join(filter(None, n)) for n in names]
        raise BadInput(f"models named {said}", accepted="a name for each", do="lab.quantize(m, name='int8')")
    if max_ms is not None and speed is None:
        raise BadInput(f"max_ms={max_ms} without a benchmark", do="speed=lab.bench([...]) beside it")
    if max_ms is not None and (untimed := [c.name for c in found if not rows_of(speed, c)]):
        timed = ", ".join(dict.fromkeys(r.name for r in first_shape(speed)))
        raise BadInput(
            f"max_ms={max_ms}, and no timing of {', '.join(untimed)}",
            accepted=f"models called as in the benchmark: {timed}",
            do="lab.bench and lab.verdict with the same dict of names",
        )


def cells(r: VerdictRow, taken: bool) -> tuple[str, ...]:
    """What a table says of a row: name, target, size, its share, latency, speed, answers, verdict."""
    worth = f"{r.accuracy:.1%} ({-(r.lost or 0):+.1f})" if r.accuracy is not None else ""
    if r.cosine is not None:
        worth = f"cosine {r.cosine:.4f}"
    return (
        r.name,
        r.target,
        megabytes(r.size_bytes) if r.size_bytes else "",
        f"{r.size_ratio:.0%}" if r.size_ratio else "",
        milliseconds(r.p50) if r.p50 else "",
        f"×{r.ratio:.2f} [{r.ratio_low:.2f}, {r.ratio_high:.2f}]" if r.ratio and r.ratio_low and r.ratio_high else "",
        worth,
        "take this" if taken else r.why,
    )

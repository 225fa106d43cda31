"""verdict: size, speed and answers of some Models side by side, and which one to take.

Rules, in this order:
1. A Model qualifies when it keeps the answers: on a Task, at most `max_points_lost` points of accuracy below the
   baseline; without one, a mean cosine of at least 0.999 to the baseline's outputs on random feeds (said to be random).
2. It must also meet `max_ms` and `max_mb` where they are given.
3. Among those that qualify, the one with the best measured ratio wins; when its interval overlaps a smaller Model's,
   the smaller one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onnx_lab.card import Card, Table, megabytes, milliseconds
from onnx_lab.errors import BadInput
from onnx_lab.feeds import model_feeds
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.measure.accuracy import Accuracy, accuracy
from onnx_lab.measure.bench import Benchmark, Row
from onnx_lab.measure.compare import compare
from onnx_lab.model import Model
from onnx_lab.task import Task

#: Without a Task: mean cosine to the baseline's outputs below which a Model does not count as keeping the answers.
KEEPS_COSINE = 0.999


@dataclass(frozen=True)
class VerdictRow:
    """One Model at one shape: what it weighs, how fast it ran, what its answers are worth.

    `ratio` is the speed relative to the benchmark's reference (2 = twice as fast), `accuracy` a share of 1, `lost`
    accuracy points below the baseline, `changed` the share of top answers that differ from the baseline's, `cosine`
    the mean cosine to the baseline's outputs. Values that were not measured are None.
    """

    name: str
    target: str
    size_bytes: int | None
    size_ratio: float | None
    p50: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    accuracy: float | None
    lost: float | None
    changed: float | None
    cosine: float | None
    qualifies: bool
    why: str


@dataclass(frozen=True, repr=False)
class Verdict(Result):
    """The table, and `best`: the Model to take (None when none qualifies)."""

    rows: tuple[VerdictRow, ...]
    best: Model | None
    baseline: str
    shape: str
    asked: str
    machine: Machine

    def __bool__(self) -> bool:
        return self.best is not None

    def _records(self) -> list[dict[str, Any]]:
        return [vars(r) for r in self.rows]

    def _card(self) -> Card:
        taken = self.best.name if self.best else None
        header = ("model", "on", "size", "of baseline", "latency", "speed", "accuracy", "verdict")
        cells = tuple(_cells(r, r.name == taken) for r in self.rows)
        tones = {
            (i, 7): "good" if r.name == taken else "" if r.qualifies else "bad"
            for i, r in enumerate(self.rows)
            if r.why
        }
        title = f"take {taken}" if taken else "none qualifies"
        rows = [
            ("asked", self.asked),
            ("shape", self.shape),
            ("machine", f"{self.machine.cpu}, {self.machine.threads} threads"),
        ]
        return Card(title, rows, [Table(header, cells, "", tones)])


def verdict(
    models: Sequence[Model],
    *,
    task: Task | None = None,
    speed: Benchmark | None = None,
    baseline: Model | None = None,
    max_points_lost: float = 1.0,
    max_ms: float | None = None,
    max_mb: float | None = None,
) -> Verdict:
    """Put size, speed and accuracy of `models` side by side and say which one to take.

    Parameters
    ----------
    models : sequence of Model
        The candidates.
    task : Task, optional
        What accuracy means. Without it the outputs are compared with the baseline's on random feeds.
    speed : Benchmark, optional
        From `onnx_lab.bench`, holding rows with the names of the models; its first shape is shown. Rows of
        contestants that are not among `models` (PyTorch) are shown for orientation.
    baseline : Model, optional
        What size and accuracy are compared with. Default: the first of `models`.
    max_points_lost : float, default 1.0
        Accuracy points (of 100) a candidate may lose.
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
    _check(models, speed, max_ms)
    base = baseline or models[0]
    theirs = accuracy(base, task) if task else None
    rows: list[VerdictRow] = []
    for m in models:
        worth = _worth(m, base, task, theirs)
        timings = _rows_of(speed, m.name) or [None]
        rows += [_judge(m, base, timed, worth, max_points_lost, max_ms, max_mb) for timed in timings]
    others = [r for r in _first_shape(speed) if r.name not in {m.name for m in models}]
    rows = [_bystander(r) for r in others] + rows
    best = _choose(rows)
    asked = _asked(task, max_points_lost, max_ms, max_mb)
    timed_shapes = _first_shape(speed)
    shape = "not timed"
    if timed_shapes:
        first = timed_shapes[0]
        shape = f"batch {first.batch}" + ("" if first.seq is None else f", sequence {first.seq}")
    chosen = next((m for m in models if best and m.name == best.name), None)
    return Verdict(tuple(rows), chosen, base.name, shape, asked, this_machine())


def _check(models: Sequence[Model], speed: Benchmark | None, max_ms: float | None) -> None:
    names = [m.name for m in models]
    if not names:
        raise BadInput("no models", accepted="a list of Models", do="lab.verdict([fp32, int8], task=...)")
    if len(set(names)) < len(names):
        raise BadInput(f"models named {names}", accepted="a name for each", do="lab.quantize(m, name='int8')")
    if max_ms is not None and speed is None:
        raise BadInput(f"max_ms={max_ms} without a benchmark", do="speed=lab.bench([...]) beside it")


def _asked(task: Task | None, max_points_lost: float, max_ms: float | None, max_mb: float | None) -> str:
    points = "point" if max_points_lost == 1 else "points"
    limits = [f"at most {max_points_lost:g} {points} of accuracy lost" if task else "the same answers"]
    limits += [f"at most {max_ms:g} ms"] if max_ms is not None else []
    limits += [f"at most {max_mb:g} MB"] if max_mb is not None else []
    return ", ".join(limits)


def _worth(m: Model, base: Model, task: Task | None, theirs: Accuracy | None) -> dict[str, float | None]:
    """Accuracy, points lost, share of changed answers, cosine: what the answers of `m` are worth."""
    if task is not None and theirs is not None:
        mine = theirs if m == base else accuracy(m, task)
        changed = float((mine.predictions != theirs.predictions).mean())
        lost = (theirs.value - mine.value) * 100
        return {"accuracy": mine.value, "lost": lost, "changed": changed, "cosine": None}
    feeds = [model_feeds(base, batch=4, seq=32, seed=s) for s in range(4)]
    c = compare(base, m, feeds)
    cosine = min(o.cosine_mean for o in c.outputs)
    return {"accuracy": None, "lost": None, "changed": max(o.changed or 0.0 for o in c.outputs), "cosine": cosine}


def _judge(
    m: Model,
    base: Model,
    timed: Row | None,
    worth: dict[str, float | None],
    max_points_lost: float,
    max_ms: float | None,
    max_mb: float | None,
) -> VerdictRow:
    faults = []
    lost, cosine = worth["lost"], worth["cosine"]
    if lost is not None and lost > max_points_lost + 1e-9:
        faults.append(f"loses {lost:.1f} points")
    if cosine is not None and cosine < KEEPS_COSINE:
        faults.append(f"cosine {cosine:.4f} on random feeds")
    if max_ms is not None and timed is not None and timed.p50 * 1e3 > max_ms:
        faults.append(f"over {max_ms:g} ms")
    if max_mb is not None and m.size_bytes > max_mb * 1e6:
        faults.append(f"over {max_mb:g} MB")
    return VerdictRow(
        name=m.name,
        target=timed.target if timed else "",
        size_bytes=m.size_bytes,
        size_ratio=m.size_bytes / base.size_bytes,
        p50=timed.p50 if timed else None,
        ratio=timed.ratio if timed else None,
        ratio_low=timed.ratio_low if timed else None,
        ratio_high=timed.ratio_high if timed else None,
        qualifies=not faults,
        why="; ".join(faults) or "keeps the answers",
        **worth,
    )


def _bystander(r: Row) -> VerdictRow:
    """A row for what was timed and is not a candidate: PyTorch itself."""
    return VerdictRow(
        name=r.name,
        target=r.target,
        size_bytes=r.size_bytes or None,
        size_ratio=None,
        p50=r.p50,
        ratio=r.ratio,
        ratio_low=r.ratio_low,
        ratio_high=r.ratio_high,
        accuracy=None,
        lost=None,
        changed=None,
        cosine=None,
        qualifies=False,
        why="",
    )


def _choose(rows: Sequence[VerdictRow]) -> VerdictRow | None:
    fit = [r for r in rows if r.qualifies]
    if not fit:
        return None
    if all(r.ratio is None for r in fit):
        return min(fit, key=lambda r: r.size_bytes or 0)
    fastest = max(fit, key=lambda r: r.ratio or 0.0)
    level = [r for r in fit if (r.ratio_high or r.ratio or 0.0) >= (fastest.ratio_low or fastest.ratio or 0.0)]
    return min(level, key=lambda r: r.size_bytes or 0)


def _first_shape(speed: Benchmark | None) -> list[Row]:
    if speed is None:
        return []
    first = (speed.rows[0].batch, speed.rows[0].seq)
    return [r for r in speed.rows if (r.batch, r.seq) == first]


def _rows_of(speed: Benchmark | None, name: str) -> list[Row | None]:
    return [r for r in _first_shape(speed) if r.name == name]


def _cells(r: VerdictRow, taken: bool) -> tuple[str, ...]:
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

"""What a verdict rests on: one row for each Model and target, and which row is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnx_lab.feeds import model_feeds
from onnx_lab.measure.accuracy import Accuracy, accuracy
from onnx_lab.measure.bench import Benchmark, Row
from onnx_lab.measure.compare import compare
from onnx_lab.model import Model
from onnx_lab.runtime.target import Target
from onnx_lab.task import Dataset, Task

#: Without a Task: mean cosine to the baseline's outputs below which a Model does not count as keeping the answers.
KEEPS_COSINE = 0.999


@dataclass(frozen=True)
class Candidate:
    """A Model, and where it would run; `target` None is the CPU, with any target that the benchmark timed it on.

    `twin` is a Model of the same answers that takes every size, to be asked in the place of one that does not. `label`
    is what it is called where that is not its own name.
    """

    model: Model
    target: Target | None = None
    twin: Model | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """What it is called, here and in a benchmark."""
        return self.label or self.model.name

    @property
    def on(self) -> str:
        """The target in words."""
        return str(self.target) if self.target else ""


@dataclass(frozen=True)
class Limits:
    """What is asked of a candidate: accuracy points, cosine without a Task, milliseconds, MB (10^6 bytes)."""

    max_points_lost: float = 1.0
    min_cosine: float = KEEPS_COSINE
    max_ms: float | None = None
    max_mb: float | None = None

    def words(self, task: Task | None) -> str:
        """``at most 1 point of accuracy lost, at most 20 ms``."""
        points = "point" if self.max_points_lost == 1 else "points"
        answers = "the same answers" if self.min_cosine == KEEPS_COSINE else f"a cosine of {self.min_cosine:g}"
        limits = [f"at most {self.max_points_lost:g} {points} of accuracy lost" if task else answers]
        limits += [f"at most {self.max_ms:g} ms"] if self.max_ms is not None else []
        limits += [f"at most {self.max_mb:g} MB"] if self.max_mb is not None else []
        return ", ".join(limits)


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


@dataclass(frozen=True)
class Judge:
    """Knows the baseline, what its answers are, and what is asked."""

    base: Model
    limits: Limits
    task: Task | None = None
    data: Dataset | None = None
    theirs: Accuracy | None = None

    def worth(self, c: Candidate) -> dict[str, float | None]:
        """Accuracy, points lost, share of changed answers, cosine: what the answers of a candidate are worth."""
        asked = c.twin or c.model
        if self.task is not None and self.theirs is not None:
            same = asked == self.base and str(Target.of(c.target)) == self.theirs.target
            mine = self.theirs if same else accuracy(asked, self.task, target=c.target)
            changed = float((mine.predictions != self.theirs.predictions).mean())
            lost = (self.theirs.value - mine.value) * 100
            return {"accuracy": mine.value, "lost": lost, "changed": changed, "cosine": None}
        feeds = self.data if self.data is not None else random_batches(self.base)
        d = compare(self.base, asked, feeds, target=c.target)
        cosine = min(o.cosine_mean for o in d.outputs)
        return {"accuracy": None, "lost": None, "changed": max(o.changed or 0.0 for o in d.outputs), "cosine": cosine}

    def row(self, c: Candidate, timed: Row | None, worth: dict[str, float | None]) -> VerdictRow:
        """The candidate's row; `why` says what speaks against it."""
        return VerdictRow(
            name=c.name,
            target=timed.target if timed else c.on,
            size_bytes=c.model.size_bytes,
            size_ratio=c.model.size_bytes / self.base.size_bytes,
            p50=timed.p50 if timed else None,
            ratio=timed.ratio if timed else None,
            ratio_low=timed.ratio_low if timed else None,
            ratio_high=timed.ratio_high if timed else None,
            qualifies=not (against := self._faults(c, timed, worth)),
            why="; ".join(against) or "keeps the answers",
            **worth,
        )

    def _faults(self, c: Candidate, timed: Row | None, worth: dict[str, float | None]) -> list[str]:
        feeds = "the data" if self.data is not None else "random feeds"
        p50 = timed.p50 if timed else None
        return faults(self.limits, worth["lost"], worth["cosine"], p50, c.model.size_bytes, feeds)


def faults(
    limits: Limits, lost: float | None, cosine: float | None, p50: float | None, size_bytes: int | None, feeds: str
) -> list[str]:
    """What speaks against these values, in words; nothing where all limits are met."""
    found = []
    if lost is not None and lost > limits.max_points_lost + 1e-9:
        found.append(f"loses {lost:.1f} points")
    if cosine is not None and not cosine >= limits.min_cosine:
        found.append(f"cosine {cosine:.4f} on {feeds}")
    if limits.max_ms is not None and p50 is not None and p50 * 1e3 > limits.max_ms:
        found.append(f"over {limits.max_ms:g} ms")
    if limits.max_mb is not None and size_bytes is not None and size_bytes > limits.max_mb * 1e6:
        found.append(f"over {limits.max_mb:g} MB")
    return found


def judged_again(
    rows: Sequence[VerdictRow], limits: Limits, *, feeds: str = "random feeds"
) -> tuple[list[VerdictRow], VerdictRow | None]:
    """The same rows under other limits, and the one to take: nothing is measured anew.

    Rows that were asked nothing yet (neither accuracy nor cosine) do not qualify.

    Examples
    --------
    >>> row = VerdictRow("a", "cpu", 9_000_000, 1.0, 0.02, 1.0, 1.0, 1.0, 0.9, 0.0, 0.0, None, True, "")
    >>> rows, best = judged_again([row], Limits(max_ms=10))
    >>> rows[0].why, best
    ('over 10 ms', None)
    """
    again = []
    for r in rows:
        known = r.accuracy is not None or r.cosine is not None
        against = faults(limits, r.lost, r.cosine, r.p50, r.size_bytes, feeds) if known else ["not judged yet"]
        again.append(replace(r, qualifies=not against, why="; ".join(against) or "keeps the answers"))
    return again, choose(again)


def random_batches(m: Model) -> Dataset:
    """Four batches of four random samples, the same for every call."""
    return [model_feeds(m, batch=4, seq=32, seed=s) for s in range(4)]


def bystander(r: Row) -> VerdictRow:
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


def choose(rows: Sequence[VerdictRow]) -> VerdictRow | None:
    fit = [r for r in rows if r.qualifies]
    if not fit:
        return None
    if all(r.ratio is None for r in fit):
        return min(fit, key=lambda r: r.size_bytes or 0)
    fastest = max(fit, key=lambda r: r.ratio or 0.0)
    level = [r for r in fit if (r.ratio_high or r.ratio or 0.0) >= (fastest.ratio_low or fastest.ratio or 0.0)]
    return min(level, key=lambda r: r.size_bytes or 0)


def first_shape(speed: Benchmark | None) -> list[Row]:
    if speed is None:
        return []
    first = (speed.rows[0].batch, speed.rows[0].seq)
    return [r for r in speed.rows if (r.batch, r.seq) == first]


def rows_of(speed: Benchmark | None, c: Candidate) -> list[Row]:
    """The timings of a candidate at the first shape; of one without a target those on any."""
    return [r for r in first_shape(speed) if r.name == c.name and c.on in ("", r.target)]

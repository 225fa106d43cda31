"""Benchmark: what `bench` returns. Keeps every raw second; rows, intervals and verdicts are derived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from onnx_lab.card import Card, Table, megabytes, milliseconds
from onnx_lab.measure._entrants import Shape
from onnx_lab.measure._result import Machine, Result
from onnx_lab.measure._stats import Interval, Speed, level_interval, midmean, ratio_interval, verdict
from onnx_lab.measure._taken import Samples

_COSTS = ("load", "peak memory", "size")
_TONES = {Speed.FASTER: "good", Speed.SLOWER: "bad", Speed.UNCLEAR: "warn"}


@dataclass(frozen=True)
class Row:
    """One contestant at one shape.

    Latencies are seconds per call, `low` and `high` the 99 % limits of the median during this run. `throughput` is
    samples per second. `ratio` is how many times faster than the reference (2 = half the time) with its 99 % limits;
    the reference's own is 1. `load_s` is the time to open the model, `peak_bytes` the largest memory of its process,
    over all shapes. `provider` names who ran the nodes, `precision` what they computed in.
    """

    name: str
    target: str
    batch: int
    seq: int | None
    p50: float
    p90: float
    p99: float
    low: float
    high: float
    throughput: float
    load_s: float
    peak_bytes: int
    size_bytes: int
    ratio: float
    ratio_low: float
    ratio_high: float
    verdict: str
    provider: str
    precision: str


@dataclass(frozen=True)
class Account:
    """What is known of a contestant beside its timings; `load_s` holds one value per generation."""

    name: str
    target: str
    size_bytes: int
    peak_bytes: int
    load_s: tuple[float, ...]
    provider: str
    precision: str
    engine: str
    warmup_runs: tuple[int | None, ...]


@dataclass(frozen=True, repr=False)
class Benchmark(Result):
    """Timings of some contestants over some shapes, taken in turns.

    True when every contestant is *faster* than the reference at every shape; false when there is nothing to compare.

    Attributes
    ----------
    rows : tuple of Row
        One per contestant and shape: what plots and cards read.
    samples : tuple of Samples
        The raw seconds of every block.
    doubts : tuple of str
        What speaks against these numbers, and what to do about it.
    reference : tuple of str
        Name and target that ratios refer to.
    shapes : tuple of Shape
        The grid; `Samples.shape` indexes it.
    threads : int
        The thread budget, the same for every engine.
    generations : int
        How often all contestants were started afresh.
    """

    samples: tuple[Samples, ...]
    accounts: tuple[Account, ...]
    shapes: tuple[Shape, ...]
    reference: tuple[str, str]
    threads: int
    generations: int
    budget_s: float
    elapsed_s: float
    doubts: tuple[str, ...]
    machine: Machine

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """One Row per contestant and shape that was measured, shape by shape."""
        return make_rows(self.samples, self.accounts, self.shapes, self.reference)

    def __bool__(self) -> bool:
        others = [r for r in self.rows if r.verdict != Speed.REFERENCE]
        return bool(others) and all(r.verdict == Speed.FASTER for r in others)

    def _records(self) -> list[dict[str, Any]]:
        return [asdict(r) for r in self.rows]

    def _card(self) -> Card:
        rows = [
            ("machine", f"{self.machine.cpu}, {self.threads} threads for every engine"),
            (
                "measured",
                f"{self.elapsed_s:.0f} s, {_count(self.samples)}, {self.generations} generations of processes",
            ),
        ]
        title = f"benchmark against {self.reference[0]}" if len(self.accounts) > 1 else "benchmark"
        tables = [_table(self.rows, self.reference[0]), _account_table(self.accounts)]
        return Card(title, rows, tables, [f"doubt: {d}" for d in self.doubts])


def make_rows(
    samples: Iterable[Samples], accounts: Sequence[Account], shapes: Sequence[Shape], reference: tuple[str, str]
) -> tuple[Row, ...]:
    """Rows from raw samples; contestants and shapes without samples have none."""
    blocks: dict[tuple[str, str, int], list[Samples]] = {}
    for s in samples:
        blocks.setdefault((s.name, s.target, s.shape), []).append(s)
    rows = []
    for index, shape in enumerate(shapes):
        base = blocks.get((*reference, index), [])
        for a in accounts:
            own = blocks.get((a.name, a.target, index))
            if own:
                is_reference = (a.name, a.target) == reference
                rows.append(_row(a, shape, own, None if is_reference else base))
    return tuple(rows)


def log_ratios(own: Sequence[Samples], base: Sequence[Samples]) -> list[list[float]]:
    """``log(base / own)`` of every round that both took part in, per generation."""
    mine, theirs = _by_round(own), _by_round(base)
    generations: dict[int, list[float]] = {}
    for key in sorted(mine.keys() & theirs.keys()):
        generations.setdefault(key[0], []).append(float(np.log(theirs[key] / mine[key])))
    return list(generations.values())


def _row(a: Account, shape: Shape, own: Sequence[Samples], base: Sequence[Samples] | None) -> Row:
    runs = np.concatenate([s.seconds for s in own])
    p50, p90, p99 = (float(q) for q in np.quantile(runs, (0.5, 0.9, 0.99)))
    level = level_interval(_per_generation(_by_round(own)))
    ratio, said = Interval(1.0, 1.0, 1.0), Speed.REFERENCE
    if base is not None:
        ratio = ratio_interval(log_ratios(own, base))
        said = verdict(ratio)
    # the interval is that of the blocks' centres: carried over to the median by their quotient
    low, high = (p50 * limit / level.mid for limit in (level.low, level.high))
    return Row(
        a.name,
        a.target,
        shape.batch,
        shape.seq,
        p50,
        p90,
        p99,
        low,
        high,
        shape.batch / float(runs.mean()),
        float(np.median(a.load_s)) if a.load_s else 0.0,
        a.peak_bytes,
        a.size_bytes,
        ratio.mid,
        ratio.low,
        ratio.high,
        str(said),
        a.provider,
        a.precision,
    )


def _by_round(samples: Sequence[Samples]) -> dict[tuple[int, int], float]:
    return {(s.generation, s.round): midmean(s.seconds) for s in samples}


def _per_generation(values: Mapping[tuple[int, int], float]) -> list[list[float]]:
    generations: dict[int, list[float]] = {}
    for (generation, _), value in sorted(values.items()):
        generations.setdefault(generation, []).append(value)
    return list(generations.values())


def _count(samples: Sequence[Samples]) -> str:
    return f"{sum(len(s.seconds) for s in samples)} runs in {len(samples)} blocks"


def _table(rows: Sequence[Row], reference: str) -> Table:
    """What is asked first stands first: how fast, next to what, and how sure."""
    header = ("model", "batch × seq", "median [99 %]", f"× {reference} [99 %]", "verdict", "p90", "p99", "per s")
    cells = tuple(
        (
            place(r.name, r.target),
            f"{r.batch} × {r.seq}" if r.seq else str(r.batch),
            f"{milliseconds(r.p50)} [{_plain_ms(r.low)}, {_plain_ms(r.high)}]",
            "1" if r.verdict == Speed.REFERENCE else f"{r.ratio:.2f} [{r.ratio_low:.2f}, {r.ratio_high:.2f}]",
            r.verdict,
            milliseconds(r.p90),
            milliseconds(r.p99),
            f"{r.throughput:.0f}" if r.throughput >= 100 else f"{r.throughput:.3g}",
        )
        for r in rows
    )
    tones = {(i, 4): _TONES[Speed(r.verdict)] for i, r in enumerate(rows) if Speed(r.verdict) in _TONES}
    return Table(header, cells, tones=tones)


def place(name: str, target: str) -> str:
    """A contestant with where it ran, where that is not the obvious.

    Examples
    --------
    >>> place("int8", "cpu"), place("int8", "openvino")
    ('int8', 'int8 on openvino')
    """
    return name if target in ("cpu", "torch") else f"{name} on {target}"


def _account_table(accounts: Sequence[Account]) -> Table:
    """What does not depend on the shape."""
    cells = tuple(
        (
            place(a.name, a.target),
            megabytes(a.size_bytes),
            milliseconds(float(np.median(a.load_s))) if a.load_s else "",
            megabytes(a.peak_bytes),
            a.provider,
            a.precision,
        )
        for a in accounts
    )
    return Table(("model", "size", "load", "peak memory", "ran by", "precision"), cells)


def _plain_ms(seconds: float) -> str:
    return milliseconds(seconds).removesuffix(" ms")

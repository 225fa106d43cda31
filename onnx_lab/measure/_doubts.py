"""The benchmark against itself: what speaks against its own numbers, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from onnx_lab.measure._benchmark import Account, Row
from onnx_lab.measure._entrants import Shape
from onnx_lab.measure._stats import Speed, midmean
from onnx_lab.measure._taken import Samples, Taken
from onnx_lab.runtime.target import allowed_cpus

#: Others' share of our cores above which timings are disturbed.
DISTURBED = 0.05
#: Drift of the reference between the first and the last quarter that is worth saying.
DRIFTED = 0.10
#: Fewer runs than this, and the 99th percentile is little more than the largest.
RUNS_FOR_P99 = 200


def find_doubts(
    taken: Taken,
    rows: Sequence[Row],
    accounts: Sequence[Account],
    shapes: Sequence[Shape],
    *,
    threads: int,
    budget_s: float,
    waited_s: float | None,
) -> tuple[str, ...]:
    """One sentence per doubt, the gravest first."""
    return (
        *_unmeasured(taken, shapes, budget_s),
        *_disturbed(taken.samples, threads),
        *_unclear(rows, budget_s),
        *_few_generations(taken, budget_s),
        *_precisions(accounts),
        *_unsettled(accounts),
        *_drift(taken.samples),
        *_tails(rows, taken.samples),
        *_threads(threads),
        *_lock(waited_s),
    )


def others_share(samples: Sequence[Samples], threads: int, cpus: int) -> float | None:
    """How many of our cores others took during the blocks, as a share of our thread budget; free cores come first.

    Examples
    --------
    >>> s = Samples("a", "cpu", 0, 0, 0, 0, 1, (0.1,), others=1.0, wall=2.0)
    >>> others_share([s], threads=2, cpus=2), others_share([s], threads=2, cpus=8)
    (0.25, 0.0)
    """
    known = [s for s in samples if s.others is not None]
    wall = sum(s.wall for s in known)
    if wall < 0.5:  # the kernel's ticks of 10 ms say nothing over less
        return None
    busy = sum(s.others or 0.0 for s in known) / wall
    return max(0.0, busy - (cpus - threads)) / threads


def _unmeasured(taken: Taken, shapes: Sequence[Shape], budget_s: float) -> Iterator[str]:
    measured = {s.shape for s in taken.samples}
    absent = [str(shape) for i, shape in enumerate(shapes) if i not in measured]
    if absent:
        need = budget_s * len(shapes) / max(1, len(measured))
        yield f"no time was left for {', '.join(absent)}: budget_s={round(need, -1):.0f} or fewer shapes"


def _disturbed(samples: Sequence[Samples], threads: int) -> Iterator[str]:
    share = others_share(samples, threads, os.cpu_count() or 1)
    if share is not None and share > DISTURBED:
        yield (
            f"other processes took {share:.0%} of the cores while we measured: close them and measure again; "
            "ratios suffer less than milliseconds"
        )


def _unclear(rows: Sequence[Row], budget_s: float) -> Iterator[str]:
    unclear = [r for r in rows if r.verdict == Speed.UNCLEAR]
    if unclear:
        names = ", ".join(dict.fromkeys(r.name for r in unclear))
        yield f"too noisy to say for {names}: budget_s={2 * budget_s:.0f} narrows the interval by about a third"


def _few_generations(taken: Taken, budget_s: float) -> Iterator[str]:
    seen = len({s.generation for s in taken.samples})
    if seen < 3:
        yield (
            f"{seen} generation{'s' * (seen != 1)} of processes fitted: the spread between processes is assumed "
            f"(1.5 %), not seen; budget_s={3 * budget_s:.0f} or fewer contestants and shapes"
        )


def _precisions(accounts: Sequence[Account]) -> Iterator[str]:
    for a in accounts:
        if "by default" in a.precision and "f32" not in a.precision:
            yield f"{a.name} on {a.target} computes in {a.precision}, not in float32: compare its answers too"


def _unsettled(accounts: Sequence[Account]) -> Iterator[str]:
    never = [a.name for a in accounts if a.warmup_runs and all(w is None for w in a.warmup_runs)]
    if never:
        yield f"warm-up of {', '.join(dict.fromkeys(never))} never settled: a longer budget_s, or a quieter machine"


def _drift(samples: Sequence[Samples]) -> Iterator[str]:
    """Whether the machine itself changed pace: seen in all contestants together."""
    pace: dict[tuple[str, str, int], list[float]] = {}
    for s in samples:
        pace.setdefault((s.name, s.target, s.shape), []).append(midmean(s.seconds))
    shifts = []
    for values in pace.values():
        quarter = len(values) // 4
        if quarter >= 2:
            shifts.append(np.log(midmean(values[-quarter:]) / midmean(values[:quarter])))
    shift = float(np.expm1(np.median(shifts))) if shifts else 0.0
    if abs(shift) > DRIFTED:
        word = "slower" if shift > 0 else "faster"
        yield f"the machine became {abs(shift):.0%} {word} meanwhile: trust the ratios, not the milliseconds"


def _tails(rows: Sequence[Row], samples: Sequence[Samples]) -> Iterator[str]:
    runs: dict[tuple[str, str, int], int] = {}
    for s in samples:
        key = (s.name, s.target, s.shape)
        runs[key] = runs.get(key, 0) + len(s.seconds)
    if runs and min(runs.values()) < RUNS_FOR_P99:
        yield f"p99 stands on as few as {min(runs.values())} runs: little more than the slowest one"
    uneven = [r.name for r in rows if r.p99 > 3 * r.p50]
    if uneven:
        yield f"one run in a hundred of {', '.join(dict.fromkeys(uneven))} takes over three times the median"


def _threads(threads: int) -> Iterator[str]:
    if threads > allowed_cpus():
        yield f"{threads} threads on {allowed_cpus()} cores that the container allows: threads=None fits them"


def _lock(waited_s: float | None) -> Iterator[str]:
    if waited_s is None:
        yield "the workspace cannot be written, so another measurement may have run at the same time"
    elif waited_s > 1:
        yield f"waited {waited_s:.0f} s for another measurement to end first"

"""The tight loop: nothing but the clock stands around the call that is timed."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns

from onnx_lab.runtime._busy import others_cpu_seconds


@dataclass(frozen=True)
class Block:
    """What one timed block gave.

    Attributes
    ----------
    seconds : sequence of float
        One per run.
    lead_in : int
        Runs made before them, not counted.
    others : float or None
        CPU seconds that other processes used meanwhile; None where it cannot be told.
    wall : float
        Seconds that the timed part took.
    """

    seconds: Sequence[float]
    lead_in: int = 0
    others: float | None = None
    wall: float = 0.0


def time_block(
    call: Callable[[], object],
    *,
    min_seconds: float = 0.0,
    min_runs: int = 1,
    max_runs: int = 1_000_000,
    loops: int = 1,
    lead_in_seconds: float = 0.0,
    extra_share: float = 0.0,
) -> Block:
    """Time `call` until `min_seconds` have passed and `min_runs` were made, or `max_runs` were made.

    Parameters
    ----------
    call : callable
        Takes nothing; its inputs are built already.
    min_seconds, min_runs, max_runs : float, int, int
        When the block ends. Defaults 0.0, 1 and a million.
    loops : int
        Calls between two readings of the clock; a run is their mean. For calls of microseconds. Default 1.
    lead_in_seconds : float
        Calls before the timed ones, at least one when above 0: the worker that ran before us may still have threads
        spinning (ONNX Runtime's spin for about 30 ms), and our caches are cold. Default 0: none.
    extra_share : float
        Slow every run by this share of itself, by real work on one thread, inside the timed span. For testing a
        benchmark's sharpness. Default 0.

    """
    lead_in = _lead_in(call, lead_in_seconds)
    gc.collect()
    gc.disable()  # a collection inside a run would be counted as the engine's time
    try:
        before, started = others_cpu_seconds(), perf_counter_ns()
        nanoseconds = _loop(call, int(min_seconds * 1e9), min_runs, max_runs, loops, extra_share)
        wall, after = perf_counter_ns() - started, others_cpu_seconds()
    finally:
        gc.enable()
    others = None if before is None or after is None else after - before
    return Block([n / loops / 1e9 for n in nanoseconds], lead_in, others, wall / 1e9)


def _loop(
    call: Callable[[], object], min_ns: int, min_runs: int, max_runs: int, loops: int, extra_share: float
) -> list[int]:
    taken: list[int] = []
    clock, more = perf_counter_ns, range(loops - 1)
    end = clock() + min_ns
    while True:
        start = clock()
        call()
        for _ in more:
            call()
        stop = clock()
        if extra_share:
            stop = _work_until(stop + int(extra_share * (stop - start)))
        taken.append(stop - start)
        if len(taken) >= max_runs or (stop >= end and len(taken) >= min_runs):
            return taken


def _lead_in(call: Callable[[], object], seconds: float) -> int:
    runs = 0
    end = perf_counter_ns() + int(seconds * 1e9)
    while seconds > 0 and (runs == 0 or perf_counter_ns() < end):
        call()
        runs += 1
    return runs


def _work_until(deadline_ns: int) -> int:
    while (now := perf_counter_ns()) < deadline_ns:
        pass
    return now

"""Stand-ins for workers on a clock of their own: a benchmark of an hour runs in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnx_lab.measure._taken import Entrant
from onnx_lab.runtime.client import Block


@dataclass
class Machine:
    """A noisy machine: a clock, a pace that drifts for all alike, bursts, and luck that each process keeps.

    Shares: `process` and `run` are standard deviations of log times, `drift` a random walk per block.
    """

    seed: int
    process: float = 0.015
    run: float = 0.02
    drift: float = 0.03
    burst: float = 0.03
    opening: float = 0.3
    now: float = 0.0
    pace: float = 0.0
    opened: int = 0
    closed: int = 0
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def clock(self) -> float:
        return self.now

    def entrant(self, name: str, seconds: float, *, shapes: int = 1, cold_runs: int = 0) -> Entrant:
        def start() -> FakeWorker:
            self.now += self.opening
            self.opened += 1
            return FakeWorker(self, seconds, cold_runs)

        feeds = tuple({"x": np.zeros(shape + 1, np.float32)} for shape in range(shapes))
        return Entrant(name, "cpu", start, feeds)


class FakeWorker:
    """Takes `seconds` per run, times its own luck and the machine's mood."""

    def __init__(self, machine: Machine, seconds: float, cold_runs: int) -> None:
        self.machine, self.cold_runs = machine, cold_runs
        self.seconds = seconds * float(np.exp(machine.rng.normal(0, machine.process)))
        self.info: dict[str, Any] = {"load_seconds": 0.01, "provider": "CPUExecutionProvider", "precision": ""}
        self.peak_rss_bytes = 1_000_000
        self.runs = 0

    def block(self, feeds: dict[str, Any], **options: Any) -> Block:
        m = self.machine
        m.pace += m.rng.normal(0, m.drift)
        m.pace *= 0.95
        mood = m.rng.exponential(0.5) if m.rng.random() < m.burst else 0.0
        start, taken = m.now, []
        m.now += options.get("lead_in_seconds", 0.0)
        begin = m.now
        while m.now - begin < options.get("min_seconds", 0.0) or len(taken) < options.get("min_runs", 1):
            self.runs += 1
            cold = 10.0 if self.runs <= self.cold_runs else 1.0
            size = feeds["x"].size
            noise = m.pace + mood + m.rng.normal(0, m.run)
            taken.append(self.seconds * size * cold * float(np.exp(noise)) * (1 + options.get("extra_share", 0.0)))
            m.now += taken[-1] * options.get("loops", 1)
            if len(taken) >= options.get("max_runs", 1_000_000):
                break
        return Block(tuple(taken), 1, 0.0, m.now - start)

    def close(self) -> None:
        self.machine.closed += 1

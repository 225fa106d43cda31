"""Who takes part in a measurement, and what is taken: raw samples and nothing derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from onnx_lab.runtime.client import Block
from onnx_lab.task import Feeds


class Live(Protocol):
    """A running contestant: a `Worker`, or a stand-in for one."""

    info: dict[str, Any]
    peak_rss_bytes: int

    def block(self, feeds: Feeds, **options: Any) -> Block: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Entrant:
    """A contestant before it runs: how to open it, and its feeds per shape.

    `extra_share` slows each of its runs by this share, for testing the benchmark itself. `sent` says that it travels
    through the pipe, for which both ends hold it twice: such a one is opened before all others.
    """

    name: str
    target: str
    open: Callable[[], Live]
    feeds: tuple[Feeds, ...]
    extra_share: float = 0.0
    sent: bool = False


@dataclass(frozen=True)
class Samples:
    """The raw seconds of one block: who, at which shape, in which generation and round, and at which place in it.

    `others` are the CPU seconds that other processes used during the `wall` seconds of the block.
    """

    name: str
    target: str
    shape: int
    generation: int
    round: int
    place: int
    loops: int
    seconds: tuple[float, ...]
    others: float | None
    wall: float


@dataclass
class Taken:
    """Everything a measurement has taken so far. Lists per entrant hold one entry per generation."""

    samples: list[Samples] = field(default_factory=list)
    infos: list[list[dict[str, Any]]] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    #: (entrant, shape) -> warm-up runs dropped, per generation; None where nothing settled
    warmups: dict[tuple[int, int], list[int | None]] = field(default_factory=dict)
    generations: int = 0
    elapsed_s: float = 0.0

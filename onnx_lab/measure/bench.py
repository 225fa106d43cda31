"""bench: the benchmark that refuses to lie.

Contestants take turns in shuffled rounds, each in a clean child process with the same thread budget; ratios are taken
inside rounds and carry a 99 % interval; where the interval does not allow a verdict, none is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from onnx_lab._memory import give_memory_back
from onnx_lab._progress import listener
from onnx_lab._turns import measuring
from onnx_lab.errors import BadInput
from onnx_lab.measure import _entrants
from onnx_lab.measure._benchmark import Account, Benchmark, Row, make_rows
from onnx_lab.measure._doubts import find_doubts
from onnx_lab.measure._entrants import DEFAULT_SEQ, Contestant, Shape
from onnx_lab.measure._result import this_machine
from onnx_lab.measure._rounds import Rounds
from onnx_lab.measure._stats import Speed
from onnx_lab.measure._taken import Taken
from onnx_lab.runtime.client import close_sessions
from onnx_lab.runtime.target import Target, allowed_cpus
from onnx_lab.task import Feeds

__all__ = ["Benchmark", "Row", "Speed", "bench"]

Progress = Callable[[dict[str, Any]], None]

#: Events reach `progress` at most this often, in seconds.
_EVENT_EVERY_S = 0.2


def bench(
    contestants: Any,
    *,
    batch: int | Sequence[int] = 1,
    seq: int | Sequence[int] = DEFAULT_SEQ,
    targets: str | Target | Sequence[str | Target] = ("cpu",),
    against: Any = None,
    budget_s: float = 60.0,
    feeds: Feeds | None = None,
    threads: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Benchmark:
    """Time contestants against each other, and say only what the timings allow to say.

    Parameters
    ----------
    contestants : Model, torch.nn.Module, or a list or dict of them
        Also ``(contestant, target)`` pairs, e.g. ``(m, "openvino")`` or ``(net, "bfloat16")`` for PyTorch under
        autocast. Modules run eagerly, in eval mode, without gradients.
    batch, seq : int or sequence of int
        Sizes of the dynamic batch and sequence axes; several make a grid. Defaults 1 and 128.
    targets : str, Target, or a sequence of them
        Where each Model runs that has no target of its own. Default ``"cpu"``.
    against : str or a contestant, optional
        What ratios refer to. Default: PyTorch when it takes part, else the first.
    budget_s : float
        Wall seconds for everything. Default 60.
    feeds : Feeds, optional
        One batch to run all contestants on, in place of random feeds; its shape replaces `batch` and `seq`.
    threads : int, optional
        The thread budget of every engine whose target states none of its own (several targets with their own make a
        sweep). Default: what the container allows.
    seed : int
        Of the random feeds and of the order of turns. Default 0.
    progress : callable, optional
        Called at most five times a second with a dict: ``kind`` is ``"waiting"``, ``"start"``, ``"round"`` or
        ``"end"``; a round carries ``done`` and ``of`` (seconds), ``grid`` (batch and sequence of all shapes) and
        ``rows`` (dicts, provisional).

    Returns
    -------
    Benchmark
        True when every contestant is faster than the reference at every shape.

    Raises
    ------
    BadInput
        When contestants would not do the same work, or cannot be timed.
    ProviderError
        When a target does not run here, or left all nodes to the CPU: such a figure is an error, not a number.
    WorkerError
        When a contestant's process dies.

    Notes
    -----
    All contestants are started in fresh processes several times over (generations). In each, rounds follow: every
    contestant runs one block of at least 60 ms and 3 runs, in shuffled order. The log ratio to the reference is taken
    inside each round, its middle half averaged per generation, and the 99 % interval made from the generations (see
    `onnx_lab.measure._stats`). *faster* and *slower* need an interval that excludes 1 and a difference of at least
    2 %; *no difference* an interval within 5 % of 1; all else is *too noisy to say*. Georges, Buytaert and Eeckhout,
    "Statistically rigorous Java performance evaluation" (2007), is the source of the levels; Kalibera and Jones,
    "Rigorous benchmarking in reasonable time" (2013), of choosing how many of each.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> b = lab.bench([m, lab.samples.tiny(features=16)], budget_s=1.0)
    >>> [r.verdict for r in b.rows][0], b.rows[0].batch, b.rows[0].seq
    ('reference', 1, None)
    """
    if not budget_s > 0:
        raise BadInput(f"budget_s={budget_s}", accepted="seconds, above 0")
    found = _entrants.contestants(contestants, [targets] if isinstance(targets, (str, Target)) else targets)
    count = Target(threads=threads).thread_count if threads is not None else allowed_cpus()
    reference = _entrants.find_reference(against, found)
    shapes, columns = _entrants.shapes_and_feeds(found, _sizes("batch", batch), _sizes("seq", seq), feeds, seed)
    entrants = [c.entrant(f, count) for c, f in zip(found, columns, strict=True)]
    events = _Events(progress or listener(), found, shapes, reference, budget_s)
    with measuring(events.waiting) as waited:
        close_sessions()  # idle ones hold memory, which the contestants may need, as does what is free in this process
        give_memory_back()
        events.start()
        taken = Rounds(entrants, budget_s=budget_s, seed=seed, on_round=events.round).run()
    return _finish(taken, found, shapes, reference, count, budget_s, waited, events)


def _finish(
    taken: Taken,
    found: Sequence[Contestant],
    shapes: tuple[Shape, ...],
    reference: Contestant,
    threads: int,
    budget_s: float,
    waited: float | None,
    events: _Events,
) -> Benchmark:
    accounts = make_accounts(taken, found, len(shapes))
    key = (reference.name, reference.on)
    rows = make_rows(taken.samples, accounts, shapes, key)
    most = max([threads, *(c.target.threads or 0 for c in found if c.target)])  # of a sweep the largest is judged
    doubts = find_doubts(taken, rows, accounts, shapes, threads=most, budget_s=budget_s, waited_s=waited)
    events.end(rows)
    return Benchmark(
        samples=tuple(taken.samples),
        accounts=accounts,
        shapes=shapes,
        reference=key,
        threads=threads,
        generations=taken.generations,
        budget_s=budget_s,
        elapsed_s=taken.elapsed_s,
        doubts=doubts,
        machine=this_machine(),
    )


def make_accounts(taken: Taken, found: Sequence[Contestant], shapes: int) -> tuple[Account, ...]:
    """What is known of each contestant beside its timings."""
    accounts = []
    for i, c in enumerate(found):
        infos = taken.infos[i]
        info = infos[-1] if infos else {}
        accounts.append(
            Account(
                c.name,
                c.on,
                c.size_bytes,
                taken.peaks[i],
                tuple(x["load_seconds"] for x in infos),
                _who_ran(info),
                info.get("precision", ""),
                info.get("engine", ""),
                tuple(w for s in range(shapes) for w in taken.warmups.get((i, s), ())),
            )
        )
    return tuple(accounts)


def _who_ran(info: dict[str, Any]) -> str:
    nodes: dict[str, int] = info.get("nodes") or {}
    if not nodes:
        return str(info.get("provider", ""))
    return ", ".join(f"{name.removesuffix('ExecutionProvider')} {n} nodes" for name, n in nodes.items())


def _sizes(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    sizes = (value,) if isinstance(value, int) else tuple(value)
    if not sizes or any(not isinstance(s, int) or s < 1 for s in sizes):
        raise BadInput(f"{name}={value!r}", accepted="a whole number of 1 or more, or several", do=f"{name}=(1, 8)")
    return sizes


class _Events:
    """Tells `progress` what happens, at most five times a second."""

    def __init__(
        self,
        progress: Progress | None,
        found: Sequence[Contestant],
        shapes: Sequence[Shape],
        reference: Contestant,
        budget_s: float,
    ) -> None:
        self._progress, self._found, self._shapes, self._budget_s = progress, found, shapes, budget_s
        self._key = (reference.name, reference.on)
        self._grid = [[s.batch, s.seq] for s in shapes]
        self._last = self._started = time.monotonic()

    def waiting(self, seconds: float, holder: str) -> None:
        self._tell({"kind": "waiting", "seconds": seconds, "for": holder}, throttled=True)

    def start(self) -> None:
        self._started = time.monotonic()
        names = [c.name for c in self._found]
        self._tell({"kind": "start", "of": self._budget_s, "contestants": names, "grid": self._grid})

    def round(self, taken: Taken) -> None:
        if self._progress is None or time.monotonic() - self._last < _EVENT_EVERY_S:
            return
        accounts = make_accounts(taken, self._found, len(self._shapes))
        rows = make_rows(taken.samples, accounts, self._shapes, self._key)
        self._tell({"kind": "round", **self._so_far(), "grid": self._grid, "rows": [vars(r) for r in rows]})

    def end(self, rows: Sequence[Row]) -> None:
        self._tell({"kind": "end", **self._so_far(), "rows": [vars(r) for r in rows]})

    def _so_far(self) -> dict[str, float]:
        return {"done": min(time.monotonic() - self._started, self._budget_s), "of": self._budget_s}

    def _tell(self, event: dict[str, Any], *, throttled: bool = False) -> None:
        now = time.monotonic()
        if self._progress is None or (throttled and now - self._last < _EVENT_EVERY_S):
            return
        self._last = now
        self._progress(event)

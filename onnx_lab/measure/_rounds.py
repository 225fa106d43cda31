"""Taking turns: generations of fresh processes, rounds in shuffled order within them, all inside a time budget.

    generation 0            generation 1            ...   all contestants in fresh processes
      round 0   B A C         round 0   A C B             one block each, in a new order, per shape
      round 1   C B A         ...

What this machine does to everyone (a neighbour wakes up, the clock drops) hits the contestants of a round alike and
leaves their ratios alone. What a process got by luck when it started is met anew in each generation.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from onnx_lab.measure._stats import midmean, warmup_length
from onnx_lab.measure._taken import Entrant, Live, Samples, Taken

#: Shortest timed part of a block in seconds, and fewest runs in it: timer noise is small, many rounds fit.
BLOCK_SECONDS = 0.06
BLOCK_RUNS = 3
#: Runs before each block: whoever ran before leaves threads that spin for about 30 ms.
LEAD_IN_SECONDS = 0.05
#: Runs shorter than this are timed several at a time.
SHORTEST_RUN_SECONDS = 0.0005
#: Most generations, fewest passes over all shapes in each when there is time, and their share of the budget for
#: starting processes and warming them up.
MAX_GENERATIONS = 12
MIN_PASSES = 4
STARTING_SHARE = 0.5
#: Share of the budget that warm-up may take when it does not settle by itself.
WARMUP_SHARE = 0.05


class _OutOfTime(Exception):
    """The budget is over in the middle of something."""


class Rounds:
    """One measurement: `run` it once.

    Parameters
    ----------
    entrants : sequence of Entrant
        All with feeds for the same number of shapes.
    budget_s : float
        Wall time for all of it, starting of processes included.
    seed : int
        Of the shuffling.
    on_round : callable
        Called with what is taken so far after each round.
    clock : callable
        Seconds; only differences count. Default ``time.monotonic``.
    """

    def __init__(
        self,
        entrants: Sequence[Entrant],
        *,
        budget_s: float,
        seed: int = 0,
        on_round: Callable[[Taken], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entrants, self._budget, self._on_round, self._clock = entrants, budget_s, on_round, clock
        self._random = random.Random(seed)
        self._shapes = range(len(entrants[0].feeds))
        self._generations = 1  # until the first pass has shown what things cost
        self._opening = 0.0  # seconds that starting all entrants took
        self._cost: dict[int, float] = {}  # shape -> seconds of its last round
        self._warm_cost: dict[int, float] = {}  # shape -> seconds of its last warm-up
        self._seconds: dict[tuple[int, int], float] = {}  # (entrant, shape) -> seconds of one run
        self._runs: dict[tuple[int, int], dict[str, Any]] = {}  # (entrant, shape) -> options of its block
        self.taken = Taken(infos=[[] for _ in entrants], peaks=[0] * len(entrants))

    def run(self) -> Taken:
        """Measure until the budget is used up."""
        self._start = self._clock()
        generation = 0
        while generation < self._generations and self._elapsed() + self._opening < self._budget:
            with contextlib.suppress(_OutOfTime):
                self._generation(generation)
            generation += 1
        self.taken.elapsed_s = self._clock() - self._start
        return self.taken

    def _generation(self, generation: int) -> None:
        start = self._clock()
        with contextlib.ExitStack() as stack:
            live: list[Live | None] = [None] * len(self._entrants)
            for i in sorted(self._shuffled(range(len(self._entrants))), key=lambda i: not self._entrants[i].sent):
                live[i] = stack.enter_context(contextlib.closing(self._entrants[i].open()))
            ready = [w for w in live if w is not None]
            self._opening = self._clock() - start
            stack.callback(self._account, ready)  # also when time runs out
            self._passes(generation, ready)

    def _account(self, live: Sequence[Live]) -> None:
        self.taken.generations += 1
        for i, worker in enumerate(live):
            self.taken.infos[i].append(worker.info)
            self.taken.peaks[i] = max(self.taken.peaks[i], worker.peak_rss_bytes)

    def _passes(self, generation: int, live: Sequence[Live]) -> None:
        """Rounds over all shapes, again and again, until this generation's share of the budget is used."""
        warm: set[int] = set()
        number = 0
        while True:
            done = 0
            for shape in self._shapes:
                if not self._fits(generation, number, shape, shape in warm):
                    continue
                if shape not in warm:
                    with self._timing(self._warm_cost, shape):
                        self._warm_up(live, shape)
                    warm.add(shape)
                with self._timing(self._cost, shape):
                    self._round(live, shape, generation, number)
                done += 1
                self._on_round(self.taken)
            if generation == 0 and number == 0:
                fixed, one_pass = self._opening + sum(self._warm_cost.values()), sum(self._cost.values())
                self._generations = plan_generations(self._budget, fixed, one_pass)
            number += 1
            if not done:
                return

    def _fits(self, generation: int, number: int, shape: int, is_warm: bool) -> bool:
        """Whether a round of this shape ends within the generation's share; the first one, within the budget."""
        now = self._elapsed()
        end = self._budget * (1 if number == 0 else (generation + 1) / self._generations)
        if not self._cost:  # the very first: without it there would be nothing at all
            return True
        if shape not in self._cost:
            return now + self._guess(shape) <= end
        return now + self._cost[shape] + (0.0 if is_warm else self._warm_cost[shape]) <= end

    def _guess(self, shape: int) -> float:
        """Seconds that warming up and a first round of a new shape may take: more elements, more time per run."""
        known = max(self._cost, key=self._elements)
        more = max(1.0, self._elements(shape) / self._elements(known))
        runs = (self._seconds[i, known] * more for i in range(len(self._entrants)))
        return sum(
            max(BLOCK_SECONDS, BLOCK_RUNS * t) + max(LEAD_IN_SECONDS, t) + max(BLOCK_SECONDS, self._block_runs(t) * t)
            for t in runs
        )

    def _elements(self, shape: int) -> int:
        return max(1, sum(v.size for v in self._entrants[0].feeds[shape].values()))

    def _warm_up(self, live: Sequence[Live], shape: int) -> None:
        cap = WARMUP_SHARE * self._budget / len(self._entrants) / len(self._shapes)
        for i in self._shuffled(range(len(live))):
            self._mind_the_time()
            feeds, series = self._entrants[i].feeds[shape], list[float]()
            end = self._clock() + cap
            while True:
                series += live[i].block(feeds, min_seconds=BLOCK_SECONDS, min_runs=BLOCK_RUNS, max_runs=2000).seconds
                leading = warmup_length(series)
                if leading is not None or self._clock() >= end:
                    break
            self.taken.warmups.setdefault((i, shape), []).append(leading)
            self._seconds[i, shape] = midmean(series[len(series) // 2 :])
            self._runs[i, shape] = self._block_options(i, self._seconds[i, shape])

    def _block_options(self, entrant: int, seconds: float) -> dict[str, Any]:
        """How long a block of this entrant is, from the length of one of its runs."""
        loops = max(1, math.ceil(SHORTEST_RUN_SECONDS / max(seconds, 1e-9)))
        runs = self._block_runs(seconds)
        return {
            "min_seconds": BLOCK_SECONDS if runs > 1 else 0.0,
            "min_runs": runs,
            "loops": loops,
            "lead_in_seconds": LEAD_IN_SECONDS,
            "extra_share": self._entrants[entrant].extra_share,
        }

    def _block_runs(self, seconds: float) -> int:
        """Fewest runs of a block: a budget in which four passes do not fit is better spent on single runs."""
        one_pass = (BLOCK_RUNS + 1) * seconds * len(self._entrants) * len(self._shapes)
        return BLOCK_RUNS if 4 * one_pass < self._budget else 1

    def _round(self, live: Sequence[Live], shape: int, generation: int, number: int) -> None:
        taken = []
        for place, i in enumerate(self._shuffled(range(len(live)))):
            self._mind_the_time()
            entrant, options = self._entrants[i], self._runs[i, shape]
            b = live[i].block(entrant.feeds[shape], **options)
            where = (entrant.name, entrant.target, shape, generation, number, place, options["loops"])
            taken.append(Samples(*where, tuple(b.seconds), b.others, b.wall))
        self.taken.samples += taken  # a round that was interrupted does not count

    def _mind_the_time(self) -> None:
        """Give up what was begun when the budget is over; the very first round is always finished."""
        if self._cost and self._elapsed() > self._budget:
            raise _OutOfTime

    def _elapsed(self) -> float:
        return self._clock() - self._start

    @contextlib.contextmanager
    def _timing(self, costs: dict[int, float], shape: int) -> Iterator[None]:
        start = self._clock()
        yield
        costs[shape] = self._clock() - start

    def _shuffled(self, items: Sequence[int]) -> list[int]:
        return self._random.sample(items, len(items))


def plan_generations(budget_s: float, fixed_s: float, pass_s: float) -> int:
    """How many generations fit: as many as starting them leaves time to measure.

    Parameters
    ----------
    budget_s : float
        For everything.
    fixed_s : float
        Starting and warming up one generation.
    pass_s : float
        One round of every shape.

    Examples
    --------
    >>> plan_generations(60, fixed_s=0.8, pass_s=0.3), plan_generations(60, fixed_s=9, pass_s=4)
    (12, 2)
    """
    for n in range(MAX_GENERATIONS, 2, -1):
        if n * fixed_s <= STARTING_SHARE * budget_s and n * (fixed_s + MIN_PASSES * pass_s) <= budget_s:
            return n
    return max(1, min(2, int(budget_s / max(fixed_s + pass_s, 1e-9))))

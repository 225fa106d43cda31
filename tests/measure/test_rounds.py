"""The rounds keep their budget, their order and their promises about who is told faster, on a machine made of noise."""

from __future__ import annotations

from collections import Counter

import pytest
from fake_machine import Machine

from onnx_lab.measure._benchmark import log_ratios
from onnx_lab.measure._rounds import Rounds, plan_generations
from onnx_lab.measure._stats import Interval, Speed, midmean, ratio_interval, t_995, verdict, warmup_length
from onnx_lab.measure._taken import Samples


def duel(machine: Machine, slower_by: float = 0.0, budget_s: float = 60.0) -> Speed:
    """A model of 15 ms against a copy of itself, perhaps slowed."""
    entrants = [machine.entrant("a", 0.015), machine.entrant("b", 0.015 * (1 + slower_by))]
    taken = Rounds(entrants, budget_s=budget_s, seed=machine.seed, clock=machine.clock).run()
    own = [s for s in taken.samples if s.name == "b"]
    base = [s for s in taken.samples if s.name == "a"]
    return verdict(ratio_interval(log_ratios(own, base)))


@pytest.mark.slow
@pytest.mark.parametrize("process", [0.0, 0.01, 0.02])
def test_the_same_model_is_rarely_called_faster_or_slower(process: float) -> None:
    said = Counter(duel(Machine(seed, process=process), budget_s=15.0) for seed in range(130))
    # at most 2 in 40 are allowed; 99 % intervals promise far less
    assert said[Speed.FASTER] + said[Speed.SLOWER] <= 3, said


@pytest.mark.slow
@pytest.mark.parametrize("process", [0.005, 0.015])
def test_a_copy_slowed_by_five_percent_is_found(process: float) -> None:
    said = Counter(duel(Machine(1000 + seed, process=process), 0.05) for seed in range(40))
    assert said[Speed.SLOWER] >= 37, said
    assert said[Speed.FASTER] == 0


def test_a_machine_without_peace_gets_no_verdict() -> None:
    said = Counter(duel(Machine(seed, process=0.15, run=0.3, drift=0.3), budget_s=8.0) for seed in range(40))
    assert said[Speed.UNCLEAR] >= 35, said


@pytest.mark.parametrize(
    ("seconds", "shapes", "budget_s"), [(0.001, 1, 10), (0.015, 4, 30), (0.3, 1, 60), (0.1, 6, 60)]
)
def test_the_budget_is_kept(seconds: float, shapes: int, budget_s: float) -> None:
    machine = Machine(3)
    entrants = [machine.entrant(n, seconds, shapes=shapes) for n in "abc"]
    taken = Rounds(entrants, budget_s=budget_s, clock=machine.clock).run()
    assert 0.7 * budget_s <= taken.elapsed_s <= 1.1 * budget_s
    assert machine.opened == machine.closed == 3 * taken.generations
    assert {s.shape for s in taken.samples} == set(range(shapes))


def test_a_budget_too_small_leaves_shapes_out_and_still_ends() -> None:
    machine = Machine(4)
    entrants = [machine.entrant(n, 0.5, shapes=8) for n in "ab"]
    taken = Rounds(entrants, budget_s=12.0, clock=machine.clock).run()
    assert taken.elapsed_s <= 13.2
    assert 1 <= len({s.shape for s in taken.samples}) < 8


def test_every_round_holds_every_contestant_once_in_changing_order() -> None:
    machine = Machine(5)
    taken = Rounds([machine.entrant(n, 0.01) for n in "abc"], budget_s=20.0, clock=machine.clock).run()
    rounds: dict[tuple[int, int], list[Samples]] = {}
    for s in taken.samples:
        rounds.setdefault((s.generation, s.round), []).append(s)
    assert all(sorted(s.name for s in r) == ["a", "b", "c"] for r in rounds.values())
    assert len({"".join(s.name for s in r) for r in rounds.values()}) == 6, "all orders occur"
    assert taken.generations >= 5


def test_workers_are_closed_when_a_contestant_dies() -> None:
    machine = Machine(6)
    good, bad = machine.entrant("a", 0.01), machine.entrant("b", 0.01)

    def dies() -> None:
        raise RuntimeError("no such provider")

    broken = type(bad)(bad.name, bad.target, dies, bad.feeds)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="no such provider"):
        Rounds([good, broken], budget_s=5.0, clock=machine.clock).run()
    assert machine.opened == machine.closed


def test_warm_up_is_seen_and_dropped() -> None:
    machine = Machine(7, process=0, run=0.005, drift=0, burst=0)
    entrants = [machine.entrant("cold", 0.01, cold_runs=2), machine.entrant("warm", 0.01)]
    taken = Rounds(entrants, budget_s=10.0, clock=machine.clock).run()
    assert set(taken.warmups[0, 0]) == {2}
    assert set(taken.warmups[1, 0]) == {0}
    slowest = max(max(s.seconds) for s in taken.samples)
    assert slowest < 0.02, "no cold run is among the samples"


def test_short_runs_are_timed_several_at_a_time() -> None:
    machine = Machine(8)
    taken = Rounds([machine.entrant("a", 5e-6)], budget_s=2.0, clock=machine.clock).run()
    assert {s.loops for s in taken.samples} <= set(range(80, 130))
    assert midmean(taken.samples[0].seconds) == pytest.approx(5e-6, rel=0.2)


def test_progress_is_told_after_each_round() -> None:
    machine, seen = Machine(9), list[int]()
    rounds = Rounds(
        [machine.entrant(n, 0.01) for n in "ab"],
        budget_s=5.0,
        clock=machine.clock,
        on_round=lambda t: seen.append(len(t.samples)),
    )
    assert seen == []
    assert rounds.run().samples
    assert seen == list(range(2, seen[-1] + 1, 2))


def test_plan() -> None:
    assert plan_generations(60, 0.8, 0.3) == 12
    assert plan_generations(60, 6.0, 1.0) == 5
    assert plan_generations(60, 25.0, 2.0) == 2
    assert plan_generations(60, 80.0, 9.0) == 1


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((1.10, 1.15, 1.20), Speed.FASTER),
        ((0.80, 0.85, 0.90), Speed.SLOWER),
        ((1.005, 1.01, 1.015), Speed.SAME),  # sure, and too small to matter
        ((0.97, 1.00, 1.03), Speed.SAME),
        ((0.99, 1.04, 1.09), Speed.UNCLEAR),
        ((0.5, 1.0, 2.0), Speed.UNCLEAR),
    ],
)
def test_verdicts(interval: tuple[float, float, float], said: Speed) -> None:
    assert verdict(Interval(*interval)) is said
    low, mid, high = interval
    mirrored = {Speed.FASTER: Speed.SLOWER, Speed.SLOWER: Speed.FASTER}.get(said, said)
    assert verdict(Interval(1 / high, 1 / mid, 1 / low)) is mirrored


def test_more_generations_narrow_the_interval() -> None:
    one = [0.1, 0.11, 0.09, 0.1]
    widths = [(i.high - i.low) for i in (ratio_interval([one] * n) for n in (1, 2, 4, 8, 12))]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 4 * widths[-1]


def test_a_single_round_is_taken_for_uncertain() -> None:
    interval = ratio_interval([[0.03]])
    assert verdict(interval) is Speed.UNCLEAR


@pytest.mark.parametrize(("degrees", "exact"), [(4, 4.6041), (5, 4.0321), (8, 3.3554), (15, 2.9467), (60, 2.6603)])
def test_t_quantile(degrees: int, exact: float) -> None:
    assert t_995(degrees) == pytest.approx(exact, rel=0.003)


def test_warmup_length() -> None:
    assert warmup_length([1.0, 1.0]) is None
    assert warmup_length([1.0] * 8) == 0
    assert warmup_length([5.0, 3.0, *[1.0] * 8]) == 2
    assert warmup_length([16.0, 8.0, 4.0, 2.0, 1.0, 0.5]) is None

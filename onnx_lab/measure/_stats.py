"""The arithmetic of the benchmark: one number per block, one per generation, an interval, a verdict.

Two processes of the same model differ by 1 to 3 % for as long as they live: where memory lies, which pages are huge.
Rounds within one pair of processes therefore say nothing about that difference, however many there are. A generation
(all contestants in fresh processes) is the unit that the interval is made from; with few generations the spread
between them is badly known, so it is moderated by what is known from elsewhere (`PRIOR_SPREAD`), as Smyth (2004,
"Linear models and empirical Bayes methods for assessing differential expression", section 3) does for few replicates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

#: Spread (standard deviation of the log ratio) between pairs of processes of one model: 1 to 3 % were seen per process.
PRIOR_SPREAD = 0.015
#: How many generations the prior is worth.
PRIOR_GENERATIONS = 4
#: A difference below this share is called no difference, however sure it is: nobody would ship for it.
MIN_EFFECT = 0.02
#: An interval that reaches further than this share from 1 does not show that there is no difference.
SAME_WITHIN = 0.05

_Z_995 = 2.5758293035489004


class Speed(StrEnum):
    """What a ratio and its interval allow to say."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "no difference"
    UNCLEAR = "too noisy to say"
    REFERENCE = "reference"


@dataclass(frozen=True)
class Interval:
    """An estimate between its 99 % limits."""

    low: float
    mid: float
    high: float


def midmean(values: Sequence[float]) -> float:
    """Mean of the middle half: as deaf to outliers as a median, and smooth where runs come in two kinds.

    Examples
    --------
    >>> midmean([1.0, 2.0, 3.0, 100.0])
    2.5
    >>> midmean([3.0])
    3.0
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    # each value owns an interval of length 1; its weight is what of it lies in the middle half
    edges = np.arange(n)
    weights = np.clip(np.minimum(edges + 1, 0.75 * n) - np.maximum(edges, 0.25 * n), 0, None)
    return float(ordered @ weights / weights.sum())


def ratio_interval(log_ratios: Sequence[Sequence[float]]) -> Interval:
    """The 99 % interval of a ratio from the log ratios of rounds, given per generation.

    Parameters
    ----------
    log_ratios : sequence of sequences of float
        ``log(reference seconds / own seconds)`` of each round, one inner sequence per generation, none empty.

    Returns
    -------
    Interval
        On the scale of the ratio: above 1 is faster than the reference.

    Examples
    --------
    >>> i = ratio_interval([[0.7, 0.69, 0.71], [0.69, 0.7, 0.68]])
    >>> i.low < 2.0 < i.high
    True
    """
    low, mid, high = _log_interval(log_ratios)
    return Interval(math.exp(low), math.exp(mid), math.exp(high))


def level_interval(seconds: Sequence[Sequence[float]]) -> Interval:
    """The 99 % interval of a typical latency from the blocks' values in seconds, given per generation.

    It speaks of this machine during this run; another hour may lie outside.
    """
    return ratio_interval([[math.log(s) for s in generation] for generation in seconds])


def verdict(ratio: Interval) -> Speed:
    """What may be said.

    *faster* and *slower* need both: the interval excludes 1, and the estimate is at least `MIN_EFFECT` away from it.
    *no difference* needs an interval that stays within `SAME_WITHIN` of 1. Everything else is too noisy to say.

    Examples
    --------
    >>> [str(verdict(Interval(*i))) for i in [(1.5, 1.6, 1.7), (0.99, 1.0, 1.01), (0.8, 1.0, 1.2)]]
    ['faster', 'no difference', 'too noisy to say']
    """
    if ratio.low > 1 and ratio.mid >= 1 + MIN_EFFECT:
        return Speed.FASTER
    if ratio.high < 1 and ratio.mid <= 1 / (1 + MIN_EFFECT):
        return Speed.SLOWER
    if ratio.low >= 1 / (1 + SAME_WITHIN) and ratio.high <= 1 + SAME_WITHIN:
        return Speed.SAME
    return Speed.UNCLEAR


def warmup_length(seconds: Sequence[float]) -> int | None:
    """How many leading runs are warm-up: none of them is like the second half; None when nothing settles.

    A run is like the second half when it is at most 5 % slower than the slowest of its calmer three quarters. The
    series has settled when at least its last two runs are alike.

    Examples
    --------
    >>> warmup_length([9.0, 5.0, 1.04, 1.0, 1.0, 1.02, 1.0, 1.01])
    2
    >>> warmup_length([8.0, 4.0, 2.0, 1.0]) is None
    True
    """
    values = np.asarray(seconds, float)
    if len(values) < 3:
        return None
    limit = 1.05 * float(np.quantile(values[len(values) // 2 :], 0.75))
    leading = int(np.argmax(values <= limit)) if (values <= limit).any() else len(values)
    settled = values[-1] <= limit and values[-2] <= limit and values[-2] <= 1.25 * values[-1]
    return leading if settled and leading <= len(values) // 2 else None


def t_995(degrees: int) -> float:
    """The 99.5 % quantile of Student's t (Abramowitz and Stegun 26.7.5), within 0.3 % from 4 degrees on.

    Examples
    --------
    >>> round(t_995(4), 2), round(t_995(10), 2)
    (4.59, 3.17)
    """
    z, n = _Z_995, float(degrees)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / n ** (i + 1) for i, term in enumerate(terms))


def _log_interval(per_generation: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    centres = np.array([midmean(g) for g in per_generation])
    n = len(centres)
    mid = float(centres.mean())
    prior = PRIOR_SPREAD**2 + _round_variance(per_generation)
    seen = float(((centres - mid) ** 2).sum())
    degrees = PRIOR_GENERATIONS + n - 1
    half = t_995(degrees) * math.sqrt((PRIOR_GENERATIONS * prior + seen) / degrees / n)
    return mid - half, mid, mid + half


def _round_variance(per_generation: Sequence[Sequence[float]]) -> float:
    """What the scatter of rounds alone would make of a generation's centre.

    From neighbouring rounds, so that a slow drift does not count; a lone round is as uncertain as the others, and
    when all are lone the scatter is unknown and taken for the prior's.
    """
    steps = [np.diff(g) for g in per_generation if len(g) > 1]
    if not steps:
        return PRIOR_SPREAD**2
    # half the squared step is the variance of one round; the median is deaf to a burst (0.455: median of chi-square 1)
    one_round = float(np.median(np.concatenate(steps) ** 2)) / 2 / 0.455
    return one_round / float(np.mean([len(g) for g in per_generation]))

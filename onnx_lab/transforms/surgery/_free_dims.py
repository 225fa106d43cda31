"""Sizes that are to be free, and what a tensor's axes are made of: whole numbers and free sizes, outermost first.

An axis of 32 that holds 2 samples of 16 tokens is ``(batch, 16)``. The order matters: a Reshape may take it apart into
``[batch, 16]``, and into ``[16, batch]`` only by mixing samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Free:
    """A size that is to be free: what it is in the file, another size to try, and where it can be read.

    Attributes
    ----------
    name : str
        The axis' name; empty for one that follows from others (the height behind a convolution).
    old, new : int
        Its size in the file, and the other size at which shapes are computed.
    home : (str, int)
        A tensor and its axis that have this size.
    samples : bool
        It counts samples: what mixes along it gives other answers.
    """

    name: str
    old: int
    new: int
    home: tuple[str, int]
    samples: bool = False


Factor = int | Free
#: What an axis is made of, outermost first; ``()`` is a size of 1.
Dim = tuple[Factor, ...]
Dims = tuple[Dim, ...]


def old_size(dim: Dim) -> int:
    """The axis' size in the file."""
    return math.prod(f if isinstance(f, int) else f.old for f in dim)


def new_size(dim: Dim) -> int:
    """The axis' size where the free ones have their other size."""
    return math.prod(f if isinstance(f, int) else f.new for f in dim)


def fixed(size: int) -> Dim:
    """The axis of a size that is a number."""
    return () if size == 1 else (size,)


def is_free(dim: Dim) -> bool:
    """Whether a free size is a part of it."""
    return any(isinstance(f, Free) for f in dim)


def joined(factors: Sequence[Factor]) -> Dim:
    """Factors side by side, with numbers multiplied where they meet.

    Examples
    --------
    >>> joined([2, 8, 1])
    (16,)
    """
    out: list[Factor] = []
    for f in factors:
        if isinstance(f, int) and f == 1:
            continue
        if isinstance(f, int) and out and isinstance(last := out[-1], int):
            out[-1] = last * f
        else:
            out.append(f)
    return tuple(out)


def placements(dims: Dims, target: Sequence[int], written: Sequence[int], *, limit: int = 16) -> list[Dims]:
    """The ways in which a Reshape can hand the factors of `dims` on to axes of these sizes, the likeliest first.

    There is more than one only where a free size is 1 in the file, and the numbers do not say where it goes.

    Parameters
    ----------
    dims : tuple of Dim
        What is reshaped.
    target : sequence of int
        The sizes that it has in the file afterwards.
    written : sequence of int
        The same as the graph says it, with 0 and -1.

    Examples
    --------
    >>> n = Free("batch", 2, 1009, ("x", 0))
    >>> placements(((n,), (16,), (64,)), [2, 16, 4, 16], [2, 16, 4, 16]) == [((n,), (16,), (4,), (16,))]
    True
    >>> placements(((n,), (16,)), [4, 8], [4, 8]) == [((n, 2), (8,))]
    True
    >>> one = Free("batch", 1, 1009, ("x", 0))
    >>> [d.index((one,)) for d in placements(((one,), (8,)), [1, 1, 8], [1, -1, 8])[:2]]
    [0, 1]
    """
    factors = [f for d in dims for f in d]
    found: list[Dims] = []
    for way in _ways(tuple(factors), tuple(target)):
        found.append(way)
        if len(found) == limit:
            break
    return sorted(found, key=lambda way: _unlikely(way, dims, target, written))


def _ways(factors: tuple[Factor, ...], target: tuple[int, ...]) -> Iterator[Dims]:
    def fill(left: tuple[Factor, ...], axis: int, room: int, here: tuple[Factor, ...]) -> Iterator[Dims]:
        if left and isinstance(left[0], Free) and room % left[0].old == 0:
            yield from fill(left[1:], axis, room // left[0].old, (*here, left[0]))
        if room == 1:
            if axis + 1 < len(target):
                yield from ((joined(here), *rest) for rest in fill(left, axis + 1, target[axis + 1], ()))
            elif not left:
                yield (joined(here),)
        elif left and isinstance(first := left[0], int) and (shared := math.gcd(first, room)) > 1:
            rest = (first // shared,) if first > shared else ()
            yield from fill((*rest, *left[1:]), axis, room // shared, (*here, shared))

    if not target:
        yield from [()] if not factors else []
    elif all(t > 0 for t in target):
        yield from fill(factors, 0, target[0], ())


def _unlikely(way: Dims, dims: Dims, target: Sequence[int], written: Sequence[int]) -> int:
    """How unlikely it is that the author meant this: an axis of 1 or a -1 is where a batch of one goes."""
    score = 0
    for axis, dim in enumerate(way):
        for place, factor in enumerate(dim):
            if not isinstance(factor, Free) or factor.old > 1:
                continue
            if written[axis] == 0 and axis < len(dims) and dims[axis] == dim:
                continue
            score += 1 if target[axis] == 1 else 2 if written[axis] == -1 else 3 if place == 0 else 4
    return score

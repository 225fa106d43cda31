"""The search for the nodes that need not be float32: try a stretch of the graph whole, split it where it fails.

Stretches, because a single float32 node between float16 neighbours gains nothing: its input was rounded before it and
its output is rounded behind it. A stretch that fails is split around the node that looks worst, then in the middle, so
that one bad node is found in a few tries and bad luck with the guesses costs no more than halving. The scheme of whole
segments, largest first, is that of onnxconverter-common's ``auto_mixed_precision``.

Segments alone are greedy: the first large one may use up the whole tolerance, and where every node adds its bit (a BERT
at a tight tolerance) half of the graph stays float32. So the search begins at the other end, with few nodes in float32,
and the segments only take back of these what is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes
    ----------
    half : tuple of str
        May be float16, all together.
    needed : tuple of str
        Were tried alone, and failed.
    undecided : tuple of str
        Were not tried any more: the evaluations were used up.
    """

    half: tuple[str, ...]
    needed: tuple[str, ...]
    undecided: tuple[str, ...]


#: Fewer nodes at the end of a graph than this are no guess of their own.
_SHORTEST_END = 16


@dataclass(frozen=True)
class _Stretch:
    nodes: tuple[str, ...]
    depth: int = 0


def search(
    nodes: Sequence[str], growth: Mapping[str, float], passes: Callable[[Sequence[str]], bool], most: int
) -> Found:
    """Find a set of `nodes` that `passes` and cannot be enlarged by a stretch that was tried.

    Parameters
    ----------
    nodes : sequence of str
        In the order of the graph.
    growth : mapping of str to float
        How bad each node looks; a guess that only decides where to split.
    passes : callable
        Whether these nodes may be float16 all at once.
    most : int
        Calls of `passes` at most.

    Examples
    --------
    >>> found = search("abcdefgh", {"c": 1.0}, lambda half: "c" not in half, 9)
    >>> "".join(found.needed), len(found.half), found.undecided
    ('c', 7, ())
    """
    tries = _Tries(nodes, passes, most)
    half: set[str] = set()
    if tries.ask(nodes):
        half = set(nodes)
    rest = [n for n in nodes if n not in half]
    if rest:
        rest = _narrowed(nodes, growth, tries)
        half = {n for n in nodes if n not in set(rest)}
    waiting, needed = [_Stretch(tuple(rest))] if rest else [], set[str]()
    if len(rest) > 1:  # all of them together failed already
        waiting = _split(waiting[0], growth)
    while waiting and tries.left:
        stretch = max(waiting, key=lambda s: (len(s.nodes), -_worst(s, growth)))
        waiting.remove(stretch)
        if tries.ask(half.union(stretch.nodes)):
            half.update(stretch.nodes)
        elif len(stretch.nodes) == 1:
            needed.update(stretch.nodes)
        else:
            waiting += _split(stretch, growth)
    undecided = {n for s in waiting for n in s.nodes}
    return Found(*(tuple(n for n in nodes if n in part) for part in (half, needed, undecided)))


class _Tries:
    """Counts down the calls of `passes`."""

    def __init__(self, nodes: Sequence[str], passes: Callable[[Sequence[str]], bool], most: int) -> None:
        self._nodes, self._passes, self.left = nodes, passes, most

    def ask(self, half: Collection[str]) -> bool:
        """Whether these may be float16; False, unasked, once the calls are used up. No nodes always may."""
        wanted = set(half)
        if not wanted:
            return True
        if not self.left:
            return False
        self.left -= 1
        return self._passes([n for n in self._nodes if n in wanted])


def _narrowed(nodes: Sequence[str], growth: Mapping[str, float], tries: _Tries) -> list[str]:
    """The first of a few guesses that is enough in float32: the nodes that look worst, or the last ones; else all."""
    worst = sorted(nodes, key=lambda n: -growth.get(n, 0.0))
    size = 1
    while size <= len(nodes) // 2:
        for guess in (worst[:size], nodes[-size:] if size >= _SHORTEST_END else []):
            if guess and tries.ask(set(nodes).difference(guess)):
                return [n for n in nodes if n in set(guess)]
        size *= 2
    return list(nodes)


def _split(stretch: _Stretch, growth: Mapping[str, float]) -> list[_Stretch]:
    nodes, depth = stretch.nodes, stretch.depth + 1
    if stretch.depth % 2:
        parts = [nodes[: len(nodes) // 2], nodes[len(nodes) // 2 :]]
    else:
        at = max(range(len(nodes)), key=lambda i: growth.get(nodes[i], 0.0))
        parts = [nodes[:at], nodes[at : at + 1], nodes[at + 1 :]]
    return [_Stretch(p, depth) for p in parts if p]


def _worst(stretch: _Stretch, growth: Mapping[str, float]) -> float:
    return max(growth.get(n, 0.0) for n in stretch.nodes)

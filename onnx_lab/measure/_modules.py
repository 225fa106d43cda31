"""The user's own module tree, with what each module and all below it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from onnx_lab.measure._static_work import NodeWork

#: Stands for the nodes that no module made.
NO_MODULE = ""


@dataclass(frozen=True)
class ModuleWork:
    """A module and all below it; `own` is what its own nodes do.

    `seconds` is None without a profile.
    """

    path: str
    nodes: int
    weight_bytes: int
    macs: int
    seconds: float | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit(".", 1)[-1]

    @property
    def parent(self) -> str:
        """The path above, "" for one at the top."""
        return self.path.rpartition(".")[0]

    @property
    def depth(self) -> int:
        """How many modules are above it."""
        return self.path.count(".")


@dataclass
class _Sum:
    nodes: int = 0
    weight_bytes: int = 0
    macs: int = 0
    seconds: float = 0.0
    children: dict[str, _Sum] = field(default_factory=dict)


def module_tree(work: Iterable[NodeWork], seconds: Mapping[str, float] | None = None) -> tuple[ModuleWork, ...]:
    """All modules, each before those below it, in the order of the file; nodes that no module made come last.

    Parameters
    ----------
    work : iterable of NodeWork
    seconds : mapping of str to float, optional
        Module -> the time of its own nodes, from a profile.
    """
    top = _Sum()
    for n in work:
        for one in _line(top, n.module):
            one.nodes += 1
            one.weight_bytes += n.weight_bytes
            one.macs += n.macs or 0
    for path, s in (seconds or {}).items():
        for one in _line(top, path):
            one.seconds += s
    rest = top.children.pop(NO_MODULE, None)
    if rest is not None:
        top.children[NO_MODULE] = rest
    rows: list[ModuleWork] = []
    _collect(top, "", rows, timed=bool(seconds))
    return tuple(rows)


def _line(top: _Sum, path: str) -> list[_Sum]:
    """The sums that a module's own work goes to: its own and those above."""
    found, at = [], top
    for part in path.split("."):
        at = at.children.setdefault(part, _Sum())
        found.append(at)
    return found


def _collect(at: _Sum, path: str, rows: list[ModuleWork], *, timed: bool) -> None:
    for part, child in at.children.items():
        below = f"{path}.{part}" if path else part
        rows.append(ModuleWork(below, child.nodes, child.weight_bytes, child.macs, child.seconds if timed else None))
        _collect(child, below, rows, timed=timed)


def largest(
    rows: Sequence[ModuleWork], size: Callable[[ModuleWork], float], *, most: int, share: float
) -> list[ModuleWork]:
    """The largest modules, in the order of the tree, none without those above it.

    Parameters
    ----------
    rows : sequence of ModuleWork
        Of `module_tree`.
    size : callable
        What is compared.
    most : int
    share : float
        Modules below this share of the whole are left out.
    """
    whole = sum(size(r) for r in rows if not r.depth) or 1.0
    order = sorted(range(len(rows)), key=lambda i: (-size(rows[i]), rows[i].depth))
    kept: set[int] = set()
    paths: set[str] = {""}
    for i in order:
        r = rows[i]
        if len(kept) < most and size(r) >= share * whole and r.parent in paths:
            kept.add(i)
            paths.add(r.path)
    return [rows[i] for i in sorted(kept)]

"""Parts of one or two graphs that are run on what the first model has where they begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from onnx_lab import workspace
from onnx_lab._progress import tell
from onnx_lab.errors import BadInput
from onnx_lab.measure._differences import Sums
from onnx_lab.measure._match import pairs
from onnx_lab.model import Model
from onnx_lab.produce import write_ir
from onnx_lab.recipes._cuts import cut, frontier
from onnx_lab.runtime.activations import Tap, tapped
from onnx_lab.runtime.client import Worker
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

#: Says of a part and its feeds whether it is wrong.
Fails = Callable[[Model, Feeds], bool]


class Parts:
    """Parts of one or two graphs: the one that ends in tensor `e` and begins where tensors before ``e - k`` are."""

    def __init__(self, left: ir.Model, right: ir.Model | None, names: list[str], tap: Tap, feeds: Feeds) -> None:
        self.left, self.right, self.names, self._tap, self.whole_feeds = left, right, names, tap, feeds
        self.tries = 0

    def feeds(self, e: int, k: int) -> Feeds:
        """What the first model has where the part begins."""
        stops = set(self.names[: max(0, e - k)])
        graphs = [g for g in (self.left, self.right) if g is not None]
        needed = dict.fromkeys(n for g in graphs for n in frontier(g, self.names[e], stops))
        given = {n: self.whole_feeds[n] for n in needed if n in self.whole_feeds}
        inner = [n for n in needed if n not in given]
        return {**given, **(self._tap.fetch(self.whole_feeds, inner) if inner else {})}

    def own(self, graph: ir.Model, e: int, k: int, feeds: Feeds) -> Feeds:
        """Those of `feeds` that this graph's part reads."""
        wanted = frontier(graph, self.names[e], set(self.names[: max(0, e - k)]))
        return {n: feeds[n] for n in wanted}

    def apart(self, e: int, k: int) -> Sums:
        """How far the two parts' answers are apart."""
        assert self.right is not None
        feeds, sums = self.feeds(e, k), Sums()
        answers = []
        for graph in (self.left, self.right):
            own = self.own(graph, e, k, feeds)
            with temporary(cut(graph, own, self.names[e])) as part, Worker.for_model(part) as worker:
                answers.append(worker.run(own)[self.names[e]])
        self._tried(e, k)
        if answers[0].shape == answers[1].shape:
            sums.add(*answers)
        return sums

    def fails(self, fails: Fails, e: int, k: int) -> bool:
        """Whether the part is wrong by the user's word."""
        feeds = self.feeds(e, k)
        self._tried(e, k)
        with temporary(cut(self.left, feeds, self.names[e])) as part:
            return bool(fails(part, feeds))

    def _tried(self, e: int, k: int) -> None:
        self.tries += 1
        tell({"kind": "reducing", "state": f"try {self.tries}: {k + 1} steps before {self.names[e]}"})


@contextmanager
def opened(a: Model, b: Model | None, feeds: Feeds) -> Iterator[Parts]:
    left, right = a.to_ir(), b.to_ir() if b is not None else None
    if right is None:
        names = [v.name for node in left.graph for v in node.outputs if v.name]
    else:
        names = [p.b for p in pairs(left, right) if p.how == "name"]
    if not names:
        raise BadInput(
            f"{a.name} and {b.name if b else ''} have no tensor of the same name",
            accepted="two forms of one network, such as a file and what a transform made of it",
        )
    with tapped(left, names) as tap:
        yield Parts(left, right, names, tap, feeds)


@contextmanager
def temporary(part: ir.Model) -> Iterator[Model]:
    with workspace.scratch() as folder:
        write_ir(part, folder / "part.onnx")
        yield workspace.open_model(folder / "part.onnx")

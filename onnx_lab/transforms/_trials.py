"""Trying out which nodes may be float16: the float32 answers once, then one evaluation over the data for each set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab import workspace
from onnx_lab.errors import TransformError
from onnx_lab.produce import write_ir
from onnx_lab.runtime.activations import Tap, tapped
from onnx_lab.runtime.client import Worker
from onnx_lab.transforms._overflow import Seen, growth, looking, overflowing
from onnx_lab.transforms._rounded import Rounded
from onnx_lab.transforms._tolerance import Answers, Judge, check_reference

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.task import Dataset

Tell = Callable[[dict[str, Any]], None]
#: Freed of overflows, later tensors show their true size, and may overflow in turn.
_MOST_LOOKS = 4
#: Times the tolerance: no rounding, but a wrong file.
_FAR = 10.0


class Trials:
    """The evaluations of one search; made by `trials`.

    Attributes
    ----------
    count : int
        Evaluations so far.
    largest, share : float
        Of the last evaluation that passed: see `Judge`.
    """

    def __init__(self, tap: Tap, graph: Rounded, data: Dataset, judge: Judge, keep_io: bool, most: int) -> None:
        self._tap, self._graph, self._data, self._judge, self._keep_io = tap, graph, data, judge, keep_io
        self.most, self.count = most, 0
        self.largest = self.share = 0.0
        self.exact: list[Answers] = []
        for i, feeds in enumerate(data):
            self.exact.append(dict(tap.read(graph.feeds(feeds, None))))
            check_reference(i, self.exact[i], judge)

    def passes(self, half: Sequence[str]) -> bool:
        """Whether the answers are near enough on every batch when these nodes round."""
        self.count += 1
        self._judge.start()
        for i, (feeds, exact) in enumerate(zip(self._data, self.exact, strict=True)):
            got = dict(self._tap.read(self._graph.feeds(feeds, half, keep_io=self._keep_io)))
            if not self._judge.accepts(i, exact, got):
                return False
        self.largest, self.share = self._judge.largest, self._judge.share
        return True


@contextmanager
def trials(graph: Rounded, data: Dataset, judge: Judge, keep_io: bool, most: int) -> Iterator[Trials]:
    """Open the graph, take the float32 answers, and make sure that all of float32 is good enough.

    Raises
    ------
    TransformError
        When even then an answer is refused, or when the float32 model answers NaN.
    """
    with tapped(graph.graph, graph.outputs) as tap:
        opened = Trials(tap, graph, data, judge, keep_io, most)
        if not opened.passes([]):
            raise _hopeless(judge, keep_io)
        opened.count = 0
        yield opened


def _hopeless(judge: Judge, keep_io: bool) -> TransformError:
    if keep_io:
        return TransformError(
            "validate refuses the float32 model's own answers, so no mixture can pass",
            accepted="a validate(a, a) that is True",
            do="write it for two equal answers first",
        )
    return TransformError(
        f"with every node in float32 and only inputs and outputs in float16 the difference is {judge.largest:.3g}, "
        f"{judge.share:.3g} times the tolerance",
        accepted=f"a wider tolerance than rtol={judge.rtol:g}, atol={judge.atol:g}",
        do="keep_io=True",
    )


@dataclass(frozen=True)
class Overflows:
    """What float16 cannot do in a graph.

    `reasons` are nodes that cannot be float16, and why; `growth` is how much each node's error grows with those left in
    float32; `seen` is every tensor with all nodes in float16.
    """

    reasons: dict[str, str]
    growth: dict[str, float]
    seen: dict[str, Seen]


def find_overflows(graph: Rounded, data: Dataset, above: float, keep_io: bool, tell: Tell) -> Overflows:
    """Round all nodes, then all but those that overflow, until no more do."""
    reasons: dict[str, str] = {}
    looks: list[dict[str, Seen]] = []
    with looking(graph, data, keep_io) as look:
        for i in range(_MOST_LOOKS):
            tell({"kind": "look", "state": f"reading activations, pass {i + 1}", "done": 0, "of": 1})
            looks.append(look.at([n for n in graph.nodes if n not in reasons]))
            new = {n: why for n, why in overflowing(graph, looks[-1], above).items() if n not in reasons}
            reasons |= new
            if not new:
                break
    return Overflows(reasons, growth(graph, looks[-1]), looks[0])


@dataclass(frozen=True)
class Ran:
    """The finished file as this CPU runs it: its size, whether its answers were accepted, the largest difference."""

    size_bytes: int
    accepted: bool
    largest: float


def run_file(after: ir.Model, data: Dataset, exact: Sequence[Answers], judge: Judge, metadata: dict[str, str]) -> Ran:
    """Run the finished file on this CPU over all of `data`.

    Its roundings are others than a GPU's, so at the edge of a tolerance it may fall on the other side.

    Raises
    ------
    TransformError
        When its answers are far from what they should be.
    BadModel, WorkerError
        When it does not run.
    """
    after.metadata_props.update(metadata)
    with workspace.scratch() as folder:
        write_ir(after, folder / "mixed.onnx")
        made = workspace.open_model(folder / "mixed.onnx")
        halves = [s.name for s in made.inputs if s.dtype == "float16"]
        judge.start()
        accepted = True
        with Worker.for_model(made) as worker:
            for i, (feeds, want) in enumerate(zip(data, exact, strict=True)):
                given = {k: v.astype(np.float16) if k in halves else v for k, v in feeds.items()}
                accepted &= judge.accepts(i, want, worker.run(given))
                if judge.validate is None and judge.share > _FAR:
                    raise TransformError(
                        f"the file that was made answers otherwise on batch {i}: {judge.largest:.3g} apart",
                        do="lab.simplify(m) first, or tool='onnxconverter-common'",
                    )
        return Ran(made.size_bytes, accepted, judge.largest)

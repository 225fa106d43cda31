"""One search of mixed_precision, from the float32 graph to the finished file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from onnx_lab.model import Model
from onnx_lab.produce import Made
from onnx_lab.transforms import _mixed_words as words
from onnx_lab.transforms._auto_mixed import auto_mixed
from onnx_lab.transforms._clamped import report
from onnx_lab.transforms._half import RANGE, blocked_ops, learn_types, prepared, session_hints, to_half
from onnx_lab.transforms._rounded import Rounded, rounded
from onnx_lab.transforms._segments import search
from onnx_lab.transforms._trials import Tell, Trials, find_overflows, run_file, trials

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.task import Dataset
    from onnx_lab.transforms._dataset import Identity
    from onnx_lab.transforms._tolerance import Judge


def nobody_listens(event: dict[str, Any]) -> None:
    """Nobody listens."""


class Search:
    """One call's work: `run` (or `auto`) makes the graph."""

    def __init__(
        self,
        m: Model,
        data: Dataset,
        who: Identity,
        judge: Judge,
        keep_io: bool,
        above: float,
        most: int,
        tell: Tell,
    ) -> None:
        self._m, self._data, self._who, self._judge = m, data, who, judge
        self._keep_io, self._above, self._most, self._tell = keep_io, above, most, tell

    def run(self) -> Made:
        before, graph = self._ready()
        if not graph.nodes:
            return self._unchanged(graph, 0)
        looked = find_overflows(graph, self._data, self._above, self._keep_io, self._tell)
        overflows, grown = looked.reasons, looked.growth
        free = [n for n in graph.nodes if n not in overflows]
        with trials(graph, self._data, self._judge, self._keep_io, self._most) as tried:
            found = search(free, grown, self._telling(tried), self._most)
        reasons = {n: overflows[n] for n in graph.nodes if n in overflows}
        reasons |= dict.fromkeys(found.needed, words.NEEDED) | dict.fromkeys(found.undecided, words.UNDECIDED)
        if not found.half:
            return self._unchanged(graph, len(overflows))
        kept = [n for n in graph.nodes if n in reasons]
        return self._finish(before, to_half(before, kept, keep_io=self._keep_io), graph, kept, reasons, tried)

    def auto(self) -> Made:
        """The same with onnxconverter-common's search, and the lab's check of what it found."""
        before, graph = self._ready()
        with trials(graph, self._data, self._judge, self._keep_io, self._most) as tried:
            after, named, evaluations = auto_mixed(
                before, next(iter(self._data)), self._judge, self._keep_io, self._tell
            )
            if not tried.passes([n for n in graph.nodes if n not in named]):
                raise words.auto_is_wrong(self._judge)
            tried.count = evaluations
        kept = [n for n in graph.nodes if n in named]
        return self._finish(before, after, graph, kept, dict.fromkeys(kept, words.NEEDED), tried)

    def _unchanged(self, graph: Rounded, overflows: int) -> Made:
        say = words.nothing(self._m, len(graph.nodes), overflows)
        return Made(self._m.to_ir(), {"float32_nodes": list(graph.nodes), "say": say})

    def _ready(self) -> tuple[ir.Model, Rounded]:
        before = prepared(self._m)
        learn_types(before, next(iter(self._data)))
        return before, rounded(before.clone(), blocked_ops())

    def _telling(self, tried: Trials) -> Callable[[Any], bool]:
        def passes(half: Any) -> bool:
            word = f"evaluation {tried.count + 1} of at most {self._most}: {len(half)} nodes in float16"
            self._tell({"kind": "evaluation", "state": word, "done": tried.count, "of": self._most})
            return tried.passes(half)

        return passes

    def _finish(
        self,
        before: ir.Model,
        after: ir.Model,
        graph: Rounded,
        kept: list[str],
        reasons: dict[str, str],
        tried: Trials,
    ) -> Made:
        metadata = session_hints(self._m)
        ran = run_file(after, self._data, tried.exact, self._judge, metadata)
        notes = {
            "float32_nodes": kept,
            "reasons": reasons,
            "nodes": len(graph.nodes),
            "evaluations": tried.count,
            "largest": tried.largest,
            "size_ratio": ran.size_bytes / self._m.size_bytes,
            "largest_on_cpu": ran.largest,
            **({} if self._judge.validate else {"share": tried.share}),
        }
        clamped = report(before, after, RANGE)
        say = words.say(notes, before, self._who, self._judge, self._m, clamped, ran.accepted)
        return Made(after, {**notes, **clamped, "say": say}, metadata)

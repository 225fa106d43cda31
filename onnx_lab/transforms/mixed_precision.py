"""mixed_precision: float16, but for the few nodes whose rounding the answers would show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.produce import Made, options_json, produce
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.transforms import _mixed_words as words
from onnx_lab.transforms._auto_mixed import auto_mixed
from onnx_lab.transforms._clamped import report
from onnx_lab.transforms._dataset import Identity, identify
from onnx_lab.transforms._half import (
    LARGEST_FP16,
    RANGE,
    TOOLS,
    blocked_ops,
    learn_types,
    prepared,
    session_hints,
    to_half,
)
from onnx_lab.transforms._options import one_of
from onnx_lab.transforms._rounded import Rounded, rounded
from onnx_lab.transforms._segments import search
from onnx_lab.transforms._tolerance import Judge
from onnx_lab.transforms._trials import Tell, Trials, check_file, find_overflows, trials
from onnx_lab.transforms.fp16 import plain_code as fp16_code

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.task import Dataset

Validate = Callable[[dict[str, Any], dict[str, Any]], bool]


def mixed_precision(
    m: Model,
    data: Dataset,
    *,
    rtol: float = 1e-2,
    atol: float = 1e-2,
    validate: Validate | None = None,
    keep_io: bool = True,
    overflow_above: float = LARGEST_FP16,
    max_evaluations: int = 64,
    tool: str = "onnxruntime",
    progress: Tell | None = None,
    name: str | None = None,
) -> Model:
    """Turn to float16 every node that may be, and keep in float32 the few that the answers need.

    Works without a GPU: the float32 model runs on the CPU with each float16 tensor rounded as a GPU would store it, so
    an overflow inside shows here. (The float16 file itself would not show it: ONNX Runtime's CPU provider runs it in
    float32.)

    Parameters
    ----------
    m : Model
        With float32 weights.
    data : dataset
        Re-iterable of feeds, typical ones and extreme ones; every batch must pass.
    rtol, atol : float, default 1e-2 and 1e-2
        Passed means ``|mixed - float32| <= atol + rtol * |float32|`` everywhere in all float outputs. float16 alone
        moves the logits of the BERT sample, which reach 4, by 0.005.
    validate : callable, optional
        In place of the tolerance: ``validate(float32_outputs, mixed_outputs) -> bool`` for each batch; both map output
        names to arrays. The result is then not cached.
    keep_io : bool, default True
        Inputs and outputs stay float32.
    overflow_above : float, default 65504.0
        Nodes around a tensor that reaches more than this stay float32 whatever the tolerance. Less than the largest
        float16 leaves room for data that is larger than what was seen.
    max_evaluations : int, default 64
        The search runs the data this often at most; what is undecided then stays float32.
    tool : str, default "onnxruntime"
        Or ``"onnxconverter-common"``: its ``auto_convert_mixed_precision``, which searches on the first batch.
    progress : callable, optional
        Called with a dict at each pass and evaluation: ``state`` (a sentence), ``done`` and ``of``.
    name : str, optional
        Default ``"<name>-mixed"``.

    Returns
    -------
    Model
        Its card says which nodes stay float32 and why, the error reached, the size, and the evaluations it took.

    Raises
    ------
    BadInput
        When `data` is empty, exhausted or does not fit, or `validate` raises or answers with no bool.
    TransformError
        When the float32 model answers NaN, or even float32 does not pass.

    Notes
    -----
    The set is minimal in the sense that no stretch of the graph that was tried can be added to the float16 nodes; the
    search is that of onnxconverter-common's ``auto_mixed_precision``, split first where the error grows most. What
    float16 does inside a fused attention node is not seen.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)
    >>> mixed = lab.mixed_precision(lab.samples.tiny(), [{"x": x}])
    >>> mixed.lineage[-1].notes["float32_nodes"], mixed.header.weights
    ([], {'float16': 212})
    """
    one_of("tool", tool, TOOLS)
    judge = _judge(rtol, atol, validate)
    _check(overflow_above, max_evaluations)
    refuse_frozen(m, "mixed_precision")
    who = identify(m, data)
    options = {"data": who.digest, "keep_io": keep_io, "max_evaluations": max_evaluations, "tool": tool}
    options |= {"validate": "a function"} if validate else {"rtol": rtol, "atol": atol}
    options |= {"overflow_above": overflow_above} if overflow_above != LARGEST_FP16 else {}
    search_ = _Search(m, data, who, judge, keep_io, overflow_above, max_evaluations, progress or _nothing)
    return produce(
        "mixed_precision",
        options_json(**options),
        search_.auto if tool != TOOLS[0] else search_.run,
        tools=["onnx-lab", "onnxruntime", "onnxruntime-gpu", "onnx", tool],
        name=name or f"{m.name}-mixed",
        parent=m,
        cached=validate is None,
    )


def _judge(rtol: float, atol: float, validate: Validate | None) -> Judge:
    if validate is not None and not callable(validate):
        raise BadInput(
            f"validate={validate!r}", accepted="a function (float32 outputs, mixed outputs) -> bool", do="leave it out"
        )
    if validate is None and not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise BadInput(f"rtol={rtol}, atol={atol}", accepted="two numbers from 0, one of them above 0")
    return Judge(rtol, atol, validate)


def _check(overflow_above: float, max_evaluations: int) -> None:
    if not 0 < overflow_above <= LARGEST_FP16:
        raise BadInput(f"overflow_above={overflow_above}", accepted=f"above 0, at most {LARGEST_FP16:g}")
    if not isinstance(max_evaluations, int) or max_evaluations < 1:
        raise BadInput(f"max_evaluations={max_evaluations!r}", accepted="a whole number from 1")


def _nothing(event: dict[str, Any]) -> None:
    """Nobody listens."""


class _Search:
    """One call's work: `run` makes the graph."""

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
        overflows, grown = find_overflows(graph, self._data, self._above, self._keep_io, self._tell)
        free = [n for n in graph.nodes if n not in overflows]
        with trials(graph, self._data, self._judge, self._keep_io, self._most) as tried:
            found = search(free, grown, self._telling(tried), self._most)
        reasons = {n: overflows[n] for n in graph.nodes if n in overflows}
        reasons |= dict.fromkeys(found.needed, words.NEEDED) | dict.fromkeys(found.undecided, words.UNDECIDED)
        if not found.half:
            return Made(self._m.to_ir(), {"float32_nodes": list(graph.nodes), "say": words.nothing(self._m, graph)})
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
        size = check_file(after, self._data, tried.exact, self._judge, metadata)
        notes = {
            "float32_nodes": kept,
            "reasons": reasons,
            "nodes": len(graph.nodes),
            "evaluations": tried.count,
            "largest": tried.largest,
            "size_ratio": size / self._m.size_bytes,
            **({} if self._judge.validate else {"share": tried.share}),
        }
        clamped = report(before, after, RANGE)
        say = words.say(notes, before, self._who, self._judge, self._m, clamped)
        return Made(after, {**notes, **clamped, "say": say}, metadata)


def plain_code(
    *,
    float32_nodes: Sequence[str] | None = None,
    rtol: float = 1e-2,
    atol: float = 1e-2,
    keep_io: bool = True,
    tool: str = "onnxruntime",
    **_: Any,
) -> str:
    """The plain code that a mixed_precision step amounts to: ``model.onnx`` in, ``model-fp16.onnx`` out.

    Once the search is done (`float32_nodes`) that is a conversion with those nodes left out; before, it is the public
    tool that searches likewise.

    Examples
    --------
    >>> print(plain_code(float32_nodes=["head"]).splitlines()[1])
    from onnxruntime.transformers import float16
    """
    if float32_nodes is not None:
        return fp16_code(keep_io=keep_io, block_nodes=float32_nodes, tool=tool)
    return "\n".join(
        [
            "# onnx_lab's own search rounds each tensor as a GPU stores it; the public tool runs float16 as this",
            "# machine does, on one batch. `feeds` is that batch: {input name: array}",
            "import onnx",
            "from onnxconverter_common.auto_mixed_precision import auto_convert_mixed_precision",
            "",
            'model = onnx.load("model.onnx")',
            f"half = auto_convert_mixed_precision(model, feeds, rtol={rtol}, atol={atol}, keep_io_types={keep_io})",
            'onnx.save(half, "model-fp16.onnx")',
        ]
    )

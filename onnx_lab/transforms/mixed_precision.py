"""mixed_precision: float16, but for the few nodes whose rounding the answers would show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.produce import options_json, produce
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.task import Dataset  # at run time: the magic reads what may be typed
from onnx_lab.transforms._dataset import identify
from onnx_lab.transforms._half import LARGEST_FP16, TOOLS
from onnx_lab.transforms._mixed_search import Search, nobody_listens
from onnx_lab.transforms._options import one_of
from onnx_lab.transforms._tolerance import Validate, judge_by
from onnx_lab.transforms._trials import Tell
from onnx_lab.transforms.fp16 import plain_code as fp16_code

_FIRST_OPSET = 11


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
    check_model(m)
    one_of("tool", tool, TOOLS)
    _check_opset(m)
    judge = judge_by(rtol, atol, validate)
    _check(overflow_above, max_evaluations)
    refuse_frozen(m, "mixed_precision")
    who = identify(m, data)
    options = {"data": str(who), "keep_io": keep_io, "max_evaluations": max_evaluations, "tool": tool}
    options |= {"validate": "a function"} if validate else {"rtol": rtol, "atol": atol}
    options |= {"overflow_above": overflow_above} if overflow_above != LARGEST_FP16 else {}
    search_ = Search(m, data, who, judge, keep_io, overflow_above, max_evaluations, progress or nobody_listens)
    return produce(
        "mixed_precision",
        options_json(**options),
        search_.auto if tool != TOOLS[0] else search_.run,
        tools=["onnx-lab", "onnxruntime", "onnxruntime-gpu", "onnx", tool],
        name=name or f"{m.name}-mixed",
        parent=m,
        cached=validate is None,
    )


def _check(overflow_above: float, max_evaluations: int) -> None:
    if not 0 < overflow_above <= LARGEST_FP16:
        raise BadInput(f"overflow_above={overflow_above}", accepted=f"above 0, at most {LARGEST_FP16:g}")
    if not isinstance(max_evaluations, int) or max_evaluations < 1:
        raise BadInput(f"max_evaluations={max_evaluations!r}", accepted="a whole number from 1")


def _check_opset(m: Model) -> None:
    opset = m.header.opsets.get("", m.header.opsets.get("ai.onnx", _FIRST_OPSET))
    if opset < _FIRST_OPSET:
        raise TransformError(
            f"mixed_precision: {m.name} is written in opset {opset}",
            accepted=f"opset {_FIRST_OPSET} or newer: the search needs operators that came with it",
            do="export it again, or lab.fp16(m, block_nodes=[...])",
        )


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

"""fp16: half the bytes; on a GPU also the speed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.model import Model
from onnx_lab.produce import Made, options_json, produce
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.transforms._clamped import report, say
from onnx_lab.transforms._half import (
    ALWAYS_FLOAT32,
    LARGEST_FP16,
    SMALLEST_FP16,
    TOOLS,
    prepared,
    session_hints,
    to_half,
)
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms._select import select_nodes


def fp16(
    m: Model,
    *,
    keep_io: bool = True,
    block_ops: Iterable[str] = (),
    block_nodes: Iterable[str] = (),
    min_positive_val: float = SMALLEST_FP16,
    max_finite_val: float = LARGEST_FP16,
    tool: str = "onnxruntime",
    name: str | None = None,
) -> Model:
    """Turn float32 weights and arithmetic into float16.

    The file is half as large. A GPU runs it faster; ONNX Runtime's CPU provider casts back to float32 where it has no
    float16 kernel, so there it is no faster.

    Parameters
    ----------
    m : Model
    keep_io : bool, default True
        Inputs and outputs stay float32; casts are put behind and before them.
    block_ops : iterable of str
        Operators that stay float32, beyond the tool's own list (Range, CumSum, TopK, Resize's scales, ...).
    block_nodes : iterable of str
        Nodes that stay float32: names, globs, or modules such as ``bert.encoder.layer.0``.
    min_positive_val : float, default 5.96e-08
        Weights nearer to zero than this become ± this; zero stays zero. At least the smallest float16.
    max_finite_val : float, default 65504.0
        Weights larger than this become ± this; infinities stay. At most the largest float16.
    tool : str, default "onnxruntime"
        Whose converter: ``"onnxruntime"`` or ``"onnxconverter-common"`` (an extra).
    name : str, optional
        Default ``"<name>-fp16"``.

    Returns
    -------
    Model
        Its card says how many weights were clamped or flushed at those limits.

    Raises
    ------
    BadInput
        For an operator or node that the model does not have, or limits outside float16.
    MissingExtra
        Without the tool.
    TransformError
        When the tool gives up.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> half = lab.fp16(lab.samples.tiny())
    >>> half.header.weights, half.inputs[0].dtype
    ({'float16': 212}, 'float32')
    """
    one_of("tool", tool, TOOLS)
    _check_limits(min_positive_val, max_finite_val)
    refuse_frozen(m, "fp16")
    ops, nodes = names("block_ops", block_ops), names("block_nodes", block_nodes)
    for op in ops:
        if op not in m.header.operators:
            raise BadInput(f"block_ops: {op!r} is not in {m.name}", do=did_you_mean(op, m.header.operators))
    asked: dict[str, Any] = {"block_ops": ops, "block_nodes": nodes}
    if (min_positive_val, max_finite_val) != (SMALLEST_FP16, LARGEST_FP16):
        asked |= {"min_positive_val": min_positive_val, "max_finite_val": max_finite_val}
    if tool != TOOLS[0]:
        asked["tool"] = tool
    options = {"keep_io": keep_io, **{k: v for k, v in asked.items() if v}}
    return produce(
        "fp16",
        options_json(**options),
        lambda: _body(m, keep_io, ops, nodes, (min_positive_val, max_finite_val), tool),
        tools=["onnx-lab", tool, "onnxruntime-gpu", "onnx"],
        name=name or f"{m.name}-fp16",
        parent=m,
    )


def _check_limits(smallest: float, largest: float) -> None:
    if not SMALLEST_FP16 <= smallest < largest <= LARGEST_FP16:
        raise BadInput(
            f"min_positive_val={smallest}, max_finite_val={largest}",
            accepted=f"{SMALLEST_FP16} <= min_positive_val < max_finite_val <= {LARGEST_FP16}: the range of float16",
        )


def _body(
    m: Model, keep_io: bool, ops: tuple[str, ...], nodes: tuple[str, ...], limits: tuple[float, float], tool: str
) -> Made:
    before = prepared(m)
    blocked = select_nodes(before, "block_nodes", nodes)
    after = to_half(before, blocked, keep_io=keep_io, ops=ops, limits=limits, tool=tool)
    found = report(before, after, limits)
    return Made(after, {**found, "say": say(found, limits, m)}, session_hints(m))


def plain_code(
    *,
    keep_io: bool = True,
    block_ops: Iterable[str] = (),
    block_nodes: Iterable[str] = (),
    min_positive_val: float = SMALLEST_FP16,
    max_finite_val: float = LARGEST_FP16,
    tool: str = "onnxruntime",
) -> str:
    """The plain code that an fp16 step amounts to: ``model.onnx`` in, ``model-fp16.onnx`` out.

    Examples
    --------
    >>> print(plain_code().splitlines()[1])
    from onnxruntime.transformers import float16
    """
    package = "onnxruntime.transformers" if tool == "onnxruntime" else "onnxconverter_common"
    blocked = [*ALWAYS_FLOAT32, *block_ops]
    return "\n".join(
        [
            "import onnx",
            f"from {package} import float16",
            "",
            'model = onnx.shape_inference.infer_shapes(onnx.load("model.onnx"))',
            "half = float16.convert_float_to_float16(",
            "    model,",
            f"    keep_io_types={keep_io},",
            f"    min_positive_val={min_positive_val},",
            f"    max_finite_val={max_finite_val},",
            f"    op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *{blocked!r}],",
            f"    node_block_list={list(block_nodes)!r},",
            ")",
            *(_JOINING if list(block_ops) or list(block_nodes) else []),
            'onnx.save(half, "model-fp16.onnx")',
        ]
    )


#: What `_half.join_float32` and its neighbours do, as a script.
_JOINING = """
# the converter writes one cast several times, and casts to float16 between two float32 nodes, too: a number above
# 65504 would be lost there
nodes = list({n.output[0]: n for n in half.graph.node}.values())
casts = {n.output[0]: n for n in nodes if n.op_type == "Cast"}
to = {name: n.attribute[0].i for name, n in casts.items()}
exact = {name: casts[n.input[0]].input[0] for name, n in casts.items() if to[name] == 1 and to.get(n.input[0]) == 10}
for node in nodes:
    node.input[:] = [exact.get(name, name) for name in node.input]
del half.graph.node[:]
half.graph.node.extend(nodes)
""".splitlines()

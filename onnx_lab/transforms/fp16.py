"""fp16: half the bytes; on a GPU also the speed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput, TransformError, did_you_mean, missing
from onnx_lab.model import SESSION_KEY, Model
from onnx_lab.produce import Made, options_json, produce
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.transforms._carry import carry_metadata
from onnx_lab.transforms._clamped import report, say
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms._select import select_nodes
from onnx_lab.transforms._shapes import infer_symbolic_shapes

if TYPE_CHECKING:
    import onnx

_TOOLS = ("onnxruntime", "onnxconverter-common")
SMALLEST_FP16 = 5.96e-08
LARGEST_FP16 = 65504.0
#: These take float32 alone; the tools' own lists leave them out.
_ALWAYS_FLOAT32 = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "QAttention", "QEmbedLayerNormalization")


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
    one_of("tool", tool, _TOOLS)
    _check_limits(min_positive_val, max_finite_val)
    refuse_frozen(m, "fp16")
    ops, nodes = names("block_ops", block_ops), names("block_nodes", block_nodes)
    for op in ops:
        if op not in m.header.operators:
            raise BadInput(f"block_ops: {op!r} is not in {m.name}", do=did_you_mean(op, m.header.operators))
    asked: dict[str, Any] = {"block_ops": ops, "block_nodes": nodes}
    if (min_positive_val, max_finite_val) != (SMALLEST_FP16, LARGEST_FP16):
        asked |= {"min_positive_val": min_positive_val, "max_finite_val": max_finite_val}
    if tool != _TOOLS[0]:
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
    import onnx_ir as ir
    from onnx_ir.passes.common import LiftConstantsToInitializersPass, NameFixPass

    before = m.to_ir()
    ir.external_data.load_to_model(before)  # the converters get a proto, which knows no folder
    # the converters know tensors by the names and types in the file: every constant, name and type must be there
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(before)
    NameFixPass()(before)
    infer_symbolic_shapes(before)
    blocked = select_nodes(before, "block_nodes", nodes)
    converted = _convert(ir.to_proto(before), keep_io, ops, blocked, limits, tool)
    after = carry_metadata(before, ir.from_proto(converted))
    after.graph.sort()  # the converters append their casts at the end
    for weight in after.graph.initializers.values():
        if weight.const_value is not None:  # they call a blocked weight float16 and leave it float32
            weight.dtype = weight.const_value.dtype
    found = report(before, after, limits)
    return Made(after, {**found, "say": say(found, limits, m)}, {SESSION_KEY: json.dumps(_hints(m))})


def _hints(m: Model) -> dict[str, Any]:
    """What sessions of the file need: ONNX Runtime 1.31 crashes on the CPU when its layout pass for float32
    convolutions meets the float16 LayerNormalization of a pre-norm transformer (CLIP, ViT). It gains nothing there.
    """
    off = m.session_hints.get("disabled_optimizers", [])
    return {**m.session_hints, "disabled_optimizers": sorted({*off, "NchwcTransformer"})}


def _convert(
    proto: onnx.ModelProto,
    keep_io: bool,
    ops: tuple[str, ...],
    nodes: list[str],
    limits: tuple[float, float],
    tool: str,
) -> onnx.ModelProto:
    try:
        if tool == "onnxruntime":
            from onnxruntime.transformers import float16
        else:
            from onnxconverter_common import float16
    except ImportError:
        raise missing(tool, "cpu" if tool == "onnxruntime" else "tools") from None
    # it warns once for each weight at a limit; the card says it in one sentence
    with quiet("onnxruntime.transformers", "onnxconverter_common"):
        try:
            converted: onnx.ModelProto = float16.convert_float_to_float16(
                proto,
                min_positive_val=limits[0],
                max_finite_val=limits[1],
                keep_io_types=keep_io,
                disable_shape_infer=True,
                op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *_ALWAYS_FLOAT32, *ops],
                node_block_list=nodes,
            )
        except Exception as e:
            other = next(t for t in _TOOLS if t != tool)
            raise TransformError(f"fp16: {tool} gave up: {type(e).__name__}: {e}", do=f"tool={other!r}") from e
    _drop_repeated_casts(converted)
    return converted


def _drop_repeated_casts(proto: onnx.ModelProto) -> None:
    """onnxruntime's converter writes the cast of a tensor once for each blocked node that reads it, under one name."""
    seen: set[str] = set()
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "Cast" and node.output[0] in seen:
            continue
        seen.add(node.output[0])
        nodes.append(node)
    if len(nodes) < len(proto.graph.node):
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)


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
    blocked = [*_ALWAYS_FLOAT32, *block_ops]
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
            'onnx.save(half, "model-fp16.onnx")',
        ]
    )

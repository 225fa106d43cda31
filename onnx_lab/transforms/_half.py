"""The conversion to float16 that fp16 and mixed_precision share: a graph made ready, converted, the slips mended."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from onnx_lab._quiet import quiet
from onnx_lab.errors import TransformError, missing
from onnx_lab.model import SESSION_KEY, Model
from onnx_lab.runtime.activations import tapped
from onnx_lab.transforms._carry import carry_metadata
from onnx_lab.transforms._shapes import infer_symbolic_shapes

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from onnx_lab.task import Feeds

TOOLS = ("onnxruntime", "onnxconverter-common")
SMALLEST_FP16 = 5.96e-08
LARGEST_FP16 = 65504.0
RANGE = (SMALLEST_FP16, LARGEST_FP16)
#: These take float32 alone; the tools' own lists leave them out.
ALWAYS_FLOAT32 = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "QAttention", "QEmbedLayerNormalization")


def prepared(m: Model) -> ir.Model:
    """The graph as the converters need it: they know tensors by name and type, and weights by their values."""
    import onnx_ir as ir
    from onnx_ir.passes.common import LiftConstantsToInitializersPass, NameFixPass

    graph = m.to_ir()
    ir.external_data.load_to_model(graph)  # the converters get a proto, which knows no folder
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    NameFixPass()(graph)
    infer_symbolic_shapes(graph)
    return graph


def learn_types(graph: ir.Model, feeds: Feeds) -> None:
    """Ask the engine for the types that no inference found, in place: the converters guess those wrong."""
    import onnx_ir as ir

    unknown = [v for n in graph.graph for v in n.outputs if v.name and v.dtype is None]
    if not unknown:
        return
    known = {v.name: v for v in unknown}
    with tapped(graph, list(filter(None, known))) as tap:
        for name, value in tap.read(feeds):
            known[name].type = ir.TensorType(ir.DataType.from_numpy(value.dtype))


def blocked_ops(tool: str = TOOLS[0]) -> list[str]:
    """Operators that the tool leaves in float32, and those that it should."""
    return [*_converter(tool).DEFAULT_OP_BLOCK_LIST, *ALWAYS_FLOAT32]


def to_half(
    before: ir.Model,
    blocked: Collection[str],
    *,
    keep_io: bool,
    ops: Collection[str] = (),
    limits: tuple[float, float] = RANGE,
    tool: str = TOOLS[0],
) -> ir.Model:
    """`before` (from `prepared`) in float16, but for the nodes in `blocked` and the operators in `ops`.

    Raises
    ------
    MissingExtra
        Without the tool.
    TransformError
        When the tool gives up.
    """
    import onnx_ir as ir

    all_ops = [*blocked_ops(tool), *ops]
    _give_own_weights(before, blocked, all_ops)
    after = ir.from_proto(_convert(ir.to_proto(before), list(blocked), all_ops, keep_io, limits, tool))
    known = {n.name for n in before.graph}
    carry_metadata(before, after)
    after.graph.sort()  # the converters append their casts at the end
    for weight in after.graph.initializers.values():
        if weight.const_value is not None:  # they call a blocked weight float16 and leave it float32
            weight.dtype = weight.const_value.dtype
    join_float32(after, known)
    return after


def session_hints(m: Model) -> dict[str, str]:
    """What sessions of the file need: ONNX Runtime 1.31 crashes on the CPU when its layout pass for float32
    convolutions meets the float16 LayerNormalization of a pre-norm transformer (CLIP, ViT). It gains nothing there.
    """
    off = m.session_hints.get("disabled_optimizers", [])
    hints = {**m.session_hints, "disabled_optimizers": sorted({*off, "NchwcTransformer"})}
    return {SESSION_KEY: json.dumps(hints)}


def _converter(tool: str) -> Any:
    try:
        if tool == "onnxruntime":
            from onnxruntime.transformers import float16
        else:
            from onnxconverter_common import float16
    except ImportError:
        raise missing(tool, "cpu" if tool == "onnxruntime" else "tools") from None
    return float16


def _convert(
    proto: onnx.ModelProto, nodes: list[str], ops: list[str], keep_io: bool, limits: tuple[float, float], tool: str
) -> onnx.ModelProto:
    # it warns once for each weight at a limit; the card says it in one sentence
    with quiet("onnxruntime.transformers", "onnxconverter_common"):
        try:
            converted: onnx.ModelProto = _converter(tool).convert_float_to_float16(
                proto,
                min_positive_val=limits[0],
                max_finite_val=limits[1],
                keep_io_types=keep_io,
                disable_shape_infer=True,
                op_block_list=ops,
                node_block_list=nodes,
            )
        except Exception as e:
            other = next(t for t in TOOLS if t != tool)
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


def _give_own_weights(graph: ir.Model, blocked: Collection[str], ops: Collection[str]) -> None:
    """A weight that both kinds of nodes read would be float16 for both: the float32 nodes get a copy of their own."""
    import onnx_ir as ir

    names, kinds = set(blocked), set(ops)
    for name, value in list(graph.graph.initializers.items()):
        if value.const_value is None or value.const_value.dtype != ir.DataType.FLOAT or value.is_graph_input():
            continue
        uses = list(value.uses())
        stay = [u for u in uses if u.node.graph is graph.graph and (u.node.name in names or u.node.op_type in kinds)]
        if not stay or len(stay) == len(uses):
            continue
        own = ir.Value(name=f"{name}.float32", const_value=value.const_value, shape=value.shape, type=value.type)
        graph.graph.register_initializer(own)
        for use in stay:
            use.node.replace_input_with(use.idx, own)


def join_float32(graph: ir.Model, known: Collection[str | None]) -> int:
    """Between two float32 nodes no float16 is needed: remove the pairs of casts there, in place; return how many.

    The converters cast behind and before each blocked node, so a number above 65504 between two of them is lost on its
    way. Casts that were in the model before (`known` names) stay.
    """
    import onnx_ir as ir

    joined = 0
    for last in [n for n in graph.graph if _is_cast(n, ir.DataType.FLOAT) and n.name not in known]:
        read = last.inputs[0]
        assert read is not None
        first = read.producer()
        if read.dtype == ir.DataType.FLOAT:  # a blocked weight, which stayed float32
            _stand_in(graph.graph, read, last)
        elif first is not None and first.name not in known and _is_cast(first, ir.DataType.FLOAT16):
            source = first.inputs[0]
            if source is None or source.dtype != ir.DataType.FLOAT:
                continue
            _stand_in(graph.graph, source, last)
            if not read.uses() and not read.is_graph_output():
                graph.graph.remove(first, safe=True)
        else:
            continue
        joined += 1
    return joined


def _is_cast(node: ir.Node, to: ir.DataType) -> bool:
    return node.op_type == "Cast" and node.attributes.get_int("to", 0) == to


def _stand_in(graph: ir.Graph, source: ir.Value, cast: ir.Node) -> None:
    """Let `source` take the place of what `cast` puts out, under its name where that is the graph's output."""
    import onnx_ir as ir

    out = cast.outputs[0]
    if out.is_graph_output():
        if source.is_graph_input() or source.is_graph_output() or source.is_initializer():
            same = ir.node("Identity", [source], name=f"{cast.name}.identity")
            graph.insert_before(cast, same)
            same.outputs[0].type, same.outputs[0].shape = out.type, out.shape
            source = same.outputs[0]
        name, out.name = out.name, f"{out.name}.cast"
        source.name, source.shape = name, out.shape
        ir.convenience.replace_all_uses_with(out, source, replace_graph_outputs=True)
    else:
        ir.convenience.replace_all_uses_with(out, source)
    graph.remove(cast, safe=True)

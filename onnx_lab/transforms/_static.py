"""method="static": weights and activations in 8 bits, the activations' ranges found beforehand on data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab._quiet import quiet
from onnx_lab.card import megabytes
from onnx_lab.errors import TransformError, missing
from onnx_lab.model import SESSION_KEY, Model
from onnx_lab.produce import EXTERNAL_ABOVE_BYTES, Made
from onnx_lab.transforms import _int8 as int8
from onnx_lab.transforms import _static_nodes as nodes
from onnx_lab.transforms._calibration import Ranges, calibrate
from onnx_lab.transforms._carry import carry_metadata
from onnx_lab.transforms._dataset import Identity, identify
from onnx_lab.transforms._method import Method, Prepared
from onnx_lab.transforms._quick_channels import quick_channels
from onnx_lab.transforms._select import select_nodes
from onnx_lab.transforms._smooth import largest, sites, smooth
from onnx_lab.transforms._static_code import plain_code
from onnx_lab.transforms._static_options import Options
from onnx_lab.transforms._strength import choose
from onnx_lab.transforms.unfuse import fold_weights, split_attention

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from onnx_lab.task import Dataset

_FLOAT32 = 1  # TensorProto.FLOAT


def prepare(m: Model, given: Mapping[str, Any], data: Dataset | None) -> Prepared:
    """Check the options and go through the data once; see `Method.prepare`."""
    options = Options.checked(given)
    assert data is not None  # the door asked for it
    identity = identify(m, data)
    return options.lineage(identity), lambda: body(m, options, data, identity)


def body(m: Model, options: Options, data: Dataset, identity: Identity) -> Made:
    """Tidy, smooth, calibrate, quantize."""
    tried: dict[float, float] = {}
    strength = options.strength
    if strength is None:
        strength = 0.0
        if nodes.is_transformer(m.to_ir()):
            strength, tried = choose(m, data, lambda a, few: _quantize(m, options, few, a).after)
    made = _quantize(m, options, data, strength)
    after, proto_bytes = made.after, made.proto_bytes
    done = quantized(after)
    size_bytes = sum(v.const_value.nbytes for v in after.graph.initializers.values() if v.const_value is not None)
    if size_bytes < EXTERNAL_ABOVE_BYTES:
        size_bytes = proto_bytes
    say = _say(options, identity, made.found, done)
    say += _smoothed(strength, tried, *made.smoothed)
    say += _stayed(made.output, made.activations)
    say += [f"{megabytes(m.size_bytes)} → {megabytes(size_bytes)} ({size_bytes / m.size_bytes:.2f})"]
    hints = int8.hints(m, after)
    notes = {"quantized": dict(done), "smooth": strength, "say": say}
    return Made(after, notes, {SESSION_KEY: json.dumps(hints)} if hints else {})


@dataclass(frozen=True)
class _Result:
    """A quantized graph and what is told of it; `output` and `activations` stayed float."""

    after: ir.Model
    proto_bytes: int
    found: Ranges
    smoothed: tuple[int, int]
    output: list[ir.Node]
    activations: list[ir.Node]


def _quantize(m: Model, options: Options, data: Dataset, strength: float) -> _Result:
    import onnx_ir as ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    before = m.to_ir()
    ir.external_data.load_to_model(before)  # the quantizer gets a proto, which knows no folder
    excluded = _tidy(before, options.exclude_nodes)
    output = [] if options.quantize_output else nodes.output_nodes(before)
    activations = [n for n in nodes.products_of_activations(before) if n not in output]
    kinds = [k for k in options.op_types or nodes.default_ops(before) if k not in options.exclude_ops]
    excluded += [n.name or "" for n in (*output, *activations)]
    _nothing_to_do(m, before, kinds, excluded, output)
    cap_bytes = int(options.cap_mb * 1e6)
    smoothed = (0, 0)
    if strength:
        where = sites(before, kinds, excluded)
        smoothed = smooth(before, where, largest(before, where, data, cap_bytes), strength)
        RemoveUnusedNodesPass()(before)  # the weights as they were
    floats = nodes.float_out(before) if options.format == "qdq" else ()
    tensors = nodes.around(before, kinds, excluded, floats)
    method, percentile = options.calibration, options.percentile
    found = calibrate(before, tensors, data, method=method, percentile=percentile, cap_bytes=cap_bytes)
    proto = _quantized(before, found, kinds, excluded, floats, options)
    after = ir.from_proto(proto)
    after.graph.sort()  # what is new was put at the end
    carry_metadata(before, after)
    return _Result(after, proto.ByteSize(), found, smoothed, output, activations)


def _tidy(model: ir.Model, exclude: tuple[str, ...]) -> list[str]:
    """Name everything, fold what is constant; return the names of the nodes that `exclude` means."""
    from onnx_ir.passes.common import NameFixPass
    from onnxscript.rewriter import rewrite
    from onnxscript.rewriter.rules.common import _fuse_batchnorm as batch_norms

    NameFixPass()(model)
    excluded = select_nodes(model, "exclude_nodes", exclude)
    fold_weights(model)
    if any(n.op_type == "BatchNormalization" for n in model.graph):
        rewrite(model, batch_norms.rules)
    split_attention(model)
    NameFixPass()(model)
    # a node that was written out keeps its name in front: what it became is excluded with it
    return excluded + [n.name or "" for n in model.graph if any((n.name or "").startswith(f"{x}.") for x in excluded)]


def _nothing_to_do(m: Model, model: ir.Model, kinds: list[str], excluded: list[str], output: list[ir.Node]) -> None:
    weighty = [n for n in model.graph if n.op_type in kinds and n.op_type in (*nodes.MAKERS, "Gather")]
    if any(n.name not in excluded for n in weighty):
        return
    if any(n in output for n in weighty):
        raise TransformError(
            f"quantize: in {m.name} only what makes the output could be quantized",
            accepted="a model with a weighted node of the chosen kinds before its last",
            do="quantize_output=True, and look at the answers",
        )
    raise TransformError(
        f"quantize: {m.name} has no node of the kinds {', '.join(kinds)} with a constant weight left to quantize",
        accepted="MatMul, Gemm, Conv or Gather with a weight",
        do="leave out fewer of them, or method='dynamic' for Attention and LSTM",
    )


def _quantized(
    before: ir.Model,
    found: Ranges,
    kinds: list[str],
    excluded: list[str],
    floats: tuple[str, ...],
    options: Options,
) -> onnx.ModelProto:
    import numpy as np
    import onnx_ir as ir

    try:
        from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
        from onnxruntime.quantization.quant_utils import update_opset_version
    except ImportError:
        raise missing("onnxruntime", "cpu") from None
    bounds = {t: (np.array(low, np.float32), np.array(high, np.float32)) for t, (low, high) in found.ranges.items()}
    passed_on = nodes.passed_on(before, kinds, excluded)
    proto = _typed(ir.to_proto(before), [*found.ranges, *passed_on])
    for value in before.graph.initializers.values():
        value.const_value = None  # its metadata is all that is needed of it from here on
    with quiet("onnxruntime", "root"), quick_channels():  # it logs on the root logger
        try:
            proto = update_opset_version(proto, _type(options.weight_type), _type(options.activation_type))
            ranges = TensorsData(CalibrationMethod.MinMax, bounds)
            done: onnx.ModelProto = _quantizer(proto, ranges, kinds, excluded, floats, options).quantize_model()
        except Exception as e:
            raise TransformError(
                f"quantize: onnxruntime's quantizer gave up: {type(e).__name__}: {e}",
                do="lab.simplify(m) first, or leave the node it names out with exclude_nodes",
            ) from e
    del done.graph.value_info[:]  # types for the quantizer, some of them guesses
    return done


def _quantizer(
    proto: onnx.ModelProto,
    ranges: Any,
    kinds: list[str],
    excluded: list[str],
    floats: tuple[str, ...],
    options: Options,
) -> Any:
    """onnxruntime's quantizer for the format, as its quantize_static would set it up."""
    from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode

    weights, activations = (_type(t) for t in (options.weight_type, options.activation_type))
    common: tuple[Any, ...] = (weights, activations, ranges, [], excluded, kinds)
    extra = {
        "ActivationSymmetric": options.symmetric,
        "DefaultTensorType": _FLOAT32,
        "OpTypesToExcludeOutputQuantization": list(floats),
    }
    if options.format == "qdq":
        return QDQQuantizer(proto, options.per_channel, options.reduce_range, *common, extra)
    mode = QuantizationMode.QLinearOps
    return ONNXQuantizer(proto, options.per_channel, options.reduce_range, mode, True, *common, extra)


def _type(name: str) -> Any:
    from onnxruntime.quantization import QuantType

    return QuantType.QInt8 if name == "int8" else QuantType.QUInt8


def _typed(proto: onnx.ModelProto, known: Iterable[str]) -> onnx.ModelProto:
    """Types of the tensors that may be quantized written down: behind fused operators no inference finds them.

    The marks keep the quantizer from inferring once more, on a copy, and from advising what was just done.
    """
    import onnx
    from onnxruntime.quantization.quant_utils import add_infer_metadata, add_pre_process_metadata

    del proto.graph.value_info[:]  # what an exporter or optimizer left behind may be stale
    typed = {v.name for v in (*proto.graph.input, *proto.graph.output)}
    new = [name for name in dict.fromkeys(known) if name not in typed]
    proto.graph.value_info.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in new)
    add_infer_metadata(proto)
    add_pre_process_metadata(proto)
    return proto


def quantized(after: ir.Model) -> Counter[str]:
    """Operator -> how many of its nodes have weights in 8 bits, behind a DequantizeLinear or read directly."""
    done = int8.changed(after)
    for node in [n for n in after.graph if n.op_type == "DequantizeLinear"]:
        weight = node.inputs[0]
        if weight is None or weight.const_value is None or weight.const_value.dtype.name not in ("INT8", "UINT8"):
            continue
        done.update(c.op_type for c in node.outputs[0].consumers())
    plain = {"QGemm": "Gemm"}
    return Counter({plain.get(k, k.removeprefix("QLinear")): n for k, n in done.items() if k != "DequantizeLinear"})


def _say(options: Options, identity: Identity, found: Ranges, done: Counter[str]) -> list[str]:
    return [
        "8-bit weights in " + ", ".join(f"{n} {k}" for k, n in done.items()),
        int8.precision_sentence(options.per_channel, options.weight_type, options.reduce_range, options.by_machine),
        f"{options.calibration} on {identity.samples} samples in {identity.batches} batches: "
        f"{len(found.ranges)} ranges, {options.activation_type} "
        f"{'symmetric' if options.symmetric else 'asymmetric'} activations",
        *found.say(),
    ]


def _smoothed(strength: float, tried: Mapping[float, float], folded: int, added: int) -> list[str]:
    if not tried and not strength:
        return []
    trial = ", ".join(f"{a or 'none'} {c:.4f}" for a, c in tried.items())
    why = f" (cosine on a few batches: {trial})" if tried else ""
    if not strength:
        return [f"not smoothed{why}"]
    where = [f"{folded} in a norm"] * bool(folded) + [f"{added} by a Mul"] * bool(added)
    return [f"smoothed with strength {strength:g}{why}: {', '.join(where) or 'nowhere'}"]


def _stayed(output: list[ir.Node], activations: list[ir.Node]) -> list[str]:
    say = []
    if output:
        made = ", ".join(f"{n.op_type} {n.name!r}" for n in output)
        say.append(f"float: {made}, for 8 bits in the output change answers (quantize_output=True does it)")
    if activations:
        say.append(f"float: {len(activations)} products of two activations (attention), which have no weights")
    return say


STATIC = Method(
    takes=frozenset(
        "calibration percentile format per_channel symmetric activation_type weight_type reduce_range op_types "
        "exclude_ops exclude_nodes quantize_output cap_mb smooth".split()
    ),
    prepare=prepare,
    plain_code=plain_code,
    data="needed",
    about_data="the feeds of about 100 typical samples, of those that are not measured on",
)

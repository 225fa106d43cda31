"""quantize: weights and matrix products in int8."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from onnx_lab import workspace
from onnx_lab._quiet import quiet
from onnx_lab.card import megabytes
from onnx_lab.errors import BadInput, NotInThisVersion, TransformError, missing
from onnx_lab.model import SESSION_KEY, Model
from onnx_lab.produce import EXTERNAL_ABOVE_BYTES, Made, options_json, produce
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.transforms import _int8 as int8
from onnx_lab.transforms._carry import carry_metadata
from onnx_lab.transforms._int8 import DEFAULT_OPS, POSSIBLE_OPS
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms._select import select_nodes
from onnx_lab.transforms.unfuse import fold_weights, split_attention

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from onnx_lab.task import Dataset

_METHODS = ("dynamic", "static", "int4")
_WEIGHTS = ("int8", "uint8")
_FLOAT32 = 1  # TensorProto.FLOAT: what a tensor is whose type no inference finds, behind fused operators


def quantize(
    m: Model,
    *,
    method: str = "dynamic",
    data: Dataset | None = None,
    per_channel: bool = True,
    reduce_range: bool | None = None,
    weight_type: str = "int8",
    op_types: Iterable[str] | None = None,
    exclude_ops: Iterable[str] = (),
    exclude_nodes: Iterable[str] = (),
    name: str | None = None,
) -> Model:
    """Quantize weights to 8 bits now and activations at each run: no calibration data is needed.

    Optimize first (`onnx_lab.optimize`), then quantize: that order is the faster one on the CPU, and both orders work.

    Parameters
    ----------
    m : Model
        With float32 weights.
    method : str, default "dynamic"
        ``"static"`` and ``"int4"`` are announced, not built.
    data : dataset, optional
        Calibration feeds for ``"static"``.
    per_channel : bool, default True
        One scale for each output channel of a weight. One for the whole weight (False) is no faster and gives
        sentence embeddings about six times the error.
    reduce_range : bool, optional
        Weights in 7 bits, for CPUs on which products of uint8 and int8 overflow (AVX2 and AVX512 without VNNI).
        Default: what this machine needs; the card says which.
    weight_type : str, default "int8"
        Or ``"uint8"``.
    op_types : iterable of str, optional
        Operators to quantize. Default: MatMul, Gemm, Gather (embeddings), Attention, LSTM, EmbedLayerNormalization.
        ``"Conv"`` is possible and seldom faster.
    exclude_ops : iterable of str
        Operators to leave out of those.
    exclude_nodes : iterable of str
        Nodes to leave float: names, globs, or modules such as ``bert.encoder.layer.0``.
    name : str, optional
        Default ``"<name>-int8"``.

    Returns
    -------
    Model
        Its card says what was quantized and what stayed float.

    Raises
    ------
    BadInput
        For an unknown method, operator or node.
    NotInThisVersion
        For ``method="static"`` and ``"int4"``.
    TransformError
        When there is no float32 weight to quantize, or the quantizer gives up.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> small = lab.quantize(lab.samples.tiny())
    >>> small.header.operators["MatMulInteger"]
    2
    """
    _check(m, method, data)
    one_of("weight_type", weight_type, _WEIGHTS)
    kinds = names("op_types", DEFAULT_OPS if op_types is None else op_types, POSSIBLE_OPS)
    left_out = names("exclude_ops", exclude_ops, POSSIBLE_OPS)
    nodes = names("exclude_nodes", exclude_nodes)
    range_reduced = int8.needs_reduced_range(weight_type) if reduce_range is None else reduce_range
    asked = {
        "op_types": kinds if op_types is not None else (),
        "exclude_ops": left_out,
        "exclude_nodes": nodes,
        "weight_type": weight_type if weight_type != "int8" else "",
    }
    options = {"method": method, "per_channel": per_channel, "reduce_range": range_reduced}
    kept = [k for k in kinds if k not in left_out]
    return produce(
        "quantize",
        options_json(**options, **{k: v for k, v in asked.items() if v}),
        lambda: _body(m, kept, nodes, per_channel, range_reduced, weight_type, reduce_range is None),
        tools=["onnx-lab", "onnxruntime", "onnxruntime-gpu", "onnx", "onnxscript"],
        name=name or f"{m.name}-int8",
        parent=m,
    )


def _check(m: Model, method: str, data: Dataset | None) -> None:
    one_of("method", method, _METHODS)
    if method != "dynamic":
        raise NotInThisVersion(
            f"method={method!r} is not in this version", accepted="method='dynamic'", do="it comes with a later one"
        )
    if data is not None:
        raise BadInput("data for method='dynamic'", accepted="no data: activations are measured at each run")
    refuse_frozen(m, "quantize")
    if not m.header.weights.get("float32"):
        have = ", ".join(m.header.weights) or "none"
        raise TransformError(
            f"quantize: {m.name} has no float32 weight (weights: {have})",
            accepted="a float32 model",
            do="quantize before fp16, not after" if "float16" in m.header.weights else "quantize the float32 model",
        )


def _body(
    m: Model,
    kinds: list[str],
    nodes: tuple[str, ...],
    per_channel: bool,
    reduce_range: bool,
    weight_type: str,
    by_machine: bool,
) -> Made:
    import onnx_ir as ir
    from onnx_ir.passes.common import NameFixPass

    before = m.to_ir()
    ir.external_data.load_to_model(before)  # the quantizer gets a proto, which knows no folder
    NameFixPass()(before)
    excluded = select_nodes(before, "exclude_nodes", nodes)
    fold_weights(before)
    split_attention(before)
    # a node that was written out keeps its name in front: what it became is excluded with it
    excluded += [n.name or "" for n in before.graph if any((n.name or "").startswith(f"{x}.") for x in excluded)]
    excluded += int8.no_int8_form(before)
    with workspace.scratch() as folder:
        file = folder / "quantized.onnx"
        large = m.size_bytes > EXTERNAL_ABOVE_BYTES
        _run(ir.to_proto(before), file, kinds, excluded, per_channel, reduce_range, weight_type, large)
        size_bytes = sum(f.stat().st_size for f in folder.iterdir())
        after = ir.load(file)
        ir.external_data.load_to_model(after)  # the folder goes
    carry_metadata(before, after)
    hints = int8.hints(m, after)
    done = int8.changed(after)
    notes = {
        "quantized": dict(done),
        "say": [
            *int8.say(after, done, m),
            f"{megabytes(m.size_bytes)} → {megabytes(size_bytes)} ({size_bytes / m.size_bytes:.2f})",
            int8.precision_sentence(per_channel, weight_type, reduce_range, by_machine),
        ],
    }
    return Made(after, notes, {SESSION_KEY: json.dumps(hints)} if hints else {})


def _run(
    proto: onnx.ModelProto,
    file: Path,
    kinds: list[str],
    excluded: list[str],
    per_channel: bool,
    reduce_range: bool,
    weight_type: str,
    large: bool,
) -> None:
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.quant_utils import add_pre_process_metadata
    except ImportError:
        raise missing("onnxruntime", "cpu") from None
    # shapes that an exporter or optimizer left behind contradict the quantizer's own inference once it turns weights
    del proto.graph.value_info[:]
    add_pre_process_metadata(proto)  # it would advise, on the root logger, the preparation that was just made
    with quiet("onnxruntime"):
        try:
            quantize_dynamic(
                proto,
                file,
                op_types_to_quantize=kinds,
                per_channel=per_channel,
                reduce_range=reduce_range,
                weight_type=QuantType.QInt8 if weight_type == "int8" else QuantType.QUInt8,
                nodes_to_exclude=excluded,
                use_external_data_format=large,
                extra_options={"DefaultTensorType": _FLOAT32, "MatMulConstBOnly": True},
            )
        except Exception as e:
            raise TransformError(
                f"quantize: onnxruntime's quantizer gave up: {type(e).__name__}: {e}",
                do="lab.simplify(m) first, or leave the node it names out with exclude_nodes",
            ) from e


def plain_code(
    *,
    method: str = "dynamic",
    per_channel: bool = True,
    reduce_range: bool = False,
    weight_type: str = "int8",
    op_types: Iterable[str] = DEFAULT_OPS,
    exclude_ops: Iterable[str] = (),
    exclude_nodes: Iterable[str] = (),
) -> str:
    """The plain code that a quantize step amounts to: ``model.onnx`` in, ``model-int8.onnx`` out.

    Examples
    --------
    >>> print(plain_code().splitlines()[1])
    from onnxruntime.quantization import QuantType, quantize_dynamic
    """
    one_of("method", method, _METHODS)
    left_out = set(exclude_ops)
    kinds = [k for k in op_types if k not in left_out]
    return "\n".join(
        [
            "import onnx",
            "from onnxruntime.quantization import QuantType, quantize_dynamic",
            "",
            'model = onnx.load("model.onnx")',
            "del model.graph.value_info[:]  # stale shapes would contradict the quantizer's own",
            "quantize_dynamic(",
            "    model,",
            '    "model-int8.onnx",',
            f"    op_types_to_quantize={kinds!r},",
            f"    per_channel={per_channel},",
            f"    reduce_range={reduce_range},",
            f"    weight_type=QuantType.{'QInt8' if weight_type == 'int8' else 'QUInt8'},",
            f"    nodes_to_exclude={list(exclude_nodes)!r},",
            '    extra_options={"DefaultTensorType": 1, "MatMulConstBOnly": True},  # 1: float32',
            ")",
        ]
    )

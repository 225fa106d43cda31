"""method="dynamic": weights in 8 bits now, activations measured at each run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab._quiet import quiet
from onnx_lab.card import megabytes
from onnx_lab.errors import TransformError, missing
from onnx_lab.model import SESSION_KEY, Model
from onnx_lab.produce import EXTERNAL_ABOVE_BYTES, Made
from onnx_lab.transforms import _int8 as int8
from onnx_lab.transforms._carry import carry_metadata
from onnx_lab.transforms._int8 import DEFAULT_OPS, POSSIBLE_OPS
from onnx_lab.transforms._method import Method, Prepared
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms._quick_channels import quick_channels
from onnx_lab.transforms._select import select_nodes
from onnx_lab.transforms.unfuse import fold_weights, split_attention

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from onnx_lab.task import Dataset

WEIGHTS = ("int8", "uint8")
_FLOAT32 = 1  # TensorProto.FLOAT: what a tensor is whose type no inference finds, behind fused operators


def prepare(m: Model, given: Mapping[str, Any], data: Dataset | None) -> Prepared:
    """Check the options; see `Method.prepare`."""
    del data  # none is taken
    weight_type, per_channel = one_of("weight_type", given["weight_type"], WEIGHTS), given["per_channel"]
    op_types, by_machine = given["op_types"], given["reduce_range"] is None
    kinds = names("op_types", DEFAULT_OPS if op_types is None else op_types, POSSIBLE_OPS)
    left_out = names("exclude_ops", given["exclude_ops"], POSSIBLE_OPS)
    nodes = names("exclude_nodes", given["exclude_nodes"])
    reduce_range = int8.needs_reduced_range(weight_type) if by_machine else given["reduce_range"]
    asked = {
        "op_types": kinds if op_types is not None else (),
        "exclude_ops": left_out,
        "exclude_nodes": nodes,
        "weight_type": weight_type if weight_type != "int8" else "",
    }
    options = {"per_channel": per_channel, "reduce_range": reduce_range, **{k: v for k, v in asked.items() if v}}
    kept = [k for k in kinds if k not in left_out]
    return options, lambda: _body(m, kept, nodes, per_channel, reduce_range, weight_type, by_machine)


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
    with quiet("onnxruntime"), quick_channels():
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
    per_channel: bool = True,
    reduce_range: bool = False,
    weight_type: str = "int8",
    op_types: Iterable[str] = DEFAULT_OPS,
    exclude_ops: Iterable[str] = (),
    exclude_nodes: Iterable[str] = (),
) -> str:
    """``model.onnx`` in, ``model-int8.onnx`` out, with onnxruntime alone."""
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


DYNAMIC = Method(
    takes=frozenset({"per_channel", "reduce_range", "weight_type", "op_types", "exclude_ops", "exclude_nodes"}),
    prepare=prepare,
    plain_code=plain_code,
    data="refused",
    about_data="no data: activations are measured at each run",
)

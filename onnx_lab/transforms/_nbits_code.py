"""The plain code of weights in blocks: onnxruntime's MatMulNBitsQuantizer, and what it leaves out."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from onnx_lab.transforms import _gptq, _nbits_weights
from onnx_lab.transforms._nbits_graph import KINDS

_CONFIGS = {
    "rtn": "DefaultWeightOnlyQuantConfig",
    "hqq": "HQQWeightOnlyQuantConfig",
    "k_quant": "KQuantWeightOnlyQuantConfig",
}
_OPEN = """\
import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import (
{imports}
)

{sources}model = onnx.load("model.onnx")
for i, node in enumerate(model.graph.node):
    node.name = node.name or f"node_{{i}}"
weights = {{w.name: w for w in model.graph.initializer}}
left_out = {left_out!r}\
"""

_GEMM = """
# Gemm has no form in blocks: x @ w + b has (factors of 1, as frameworks write it)
nodes = []
for node in model.graph.node:
    if node.op_type != "Gemm" or node.input[1] not in weights or node.name in left_out:
        nodes.append(node)
        continue
    matrix = numpy_helper.to_array(weights[node.input[1]])
    if any(a.name == "transB" and a.i for a in node.attribute):
        matrix = np.ascontiguousarray(matrix.T)
    model.graph.initializer.append(numpy_helper.from_array(matrix, f"{node.name}.weight"))
    product = node.output[0] if len(node.input) < 3 else f"{node.name}.product"
    nodes.append(helper.make_node("MatMul", [node.input[0], f"{node.name}.weight"], [product], f"{node.name}.product"))
    if len(node.input) == 3:
        nodes.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]], node.name))
del model.graph.node[:]
model.graph.node.extend(nodes)
weights = {w.name: w for w in model.graph.initializer}\
"""

_TABLES = """
# tables: the quantizer has no 8 bits for them, and at 4 it calls the file opset 21 whatever its nodes are
rounding = DefaultWeightOnlyQuantConfig(block_size={block_size}, is_symmetric={symmetric}, bits={bits})
for node in [n for n in model.graph.node if n.op_type == "Gather" and n.input[0] in weights and n.name not in left_out]:
    name, table = node.input[0], numpy_helper.to_array(weights[node.input[0]])
    if table.ndim != 2 or table.dtype != np.float32 or any(a.name == "axis" and a.i for a in node.attribute):
        continue
    columns = np.ascontiguousarray(table.T)
    rows, scales, zeros = DefaultWeightOnlyQuantizer(rounding).qbits_block_quant(columns)
    rows = rows.reshape(len(table), -1)[:, : -(-table.shape[1] * {bits} // 8)]
    parts = {{"rows": rows, "scales": scales{zeros}}}
    model.graph.initializer.extend(numpy_helper.from_array(a, f"{{node.name}}.{{k}}") for k, a in parts.items())
    inputs = [f"{{node.name}}.rows", node.input[1], *(f"{{node.name}}.{{k}}" for k in list(parts)[1:])]
    node.CopyFrom(
        helper.make_node(
            "GatherBlockQuantized", inputs, node.output, node.name, domain="com.microsoft",
            gather_axis=0, quantize_axis=1, bits={bits}, block_size={block_size},
        )
    )\
"""

_MATMUL = """
quantizer = MatMulNBitsQuantizer(
    model,
    bits={bits},
    block_size={block_size},
    is_symmetric={symmetric},
    accuracy_level={level},
    nodes_to_exclude=left_out,
    algo_config={config},
)
quantizer.process()
model = quantizer.model.model\
"""

_GPTQ = """
# calibration.npz: an array for each input of the model, samples along the first axis
data = dict(np.load("calibration.npz"))
products = [n for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in weights and n.name not in left_out]
products = [n for n in products if len(weights[n.input[1]].dims) == 2]
given = {v.name for v in model.graph.input}
taps = onnx.ModelProto()
taps.CopyFrom(model)
inner = sorted({n.input[0] for n in products} - given)
taps.graph.output.extend(onnx.ValueInfoProto(name=x) for x in inner)
session = ort.InferenceSession(taps.SerializeToString(), providers=["CPUExecutionProvider"])
flowing = dict(zip(inner, session.run(inner, data))) | data if inner else data  # everything at once: take few samples
for node in products:
    matrix = numpy_helper.to_array(weights[node.input[1]])
    x = flowing[node.input[0]].reshape(-1, len(matrix))
    blocks = gptq(matrix, x.T @ x / len(x), bits=BITS, block_size=SIZE, symmetric=SYMMETRIC)
    parts = {"blocks": blocks.packed, "scales": blocks.scales, "zero_points": blocks.zero_points}
    parts = {k: a for k, a in parts.items() if a is not None}
    model.graph.initializer.extend(numpy_helper.from_array(a, f"{node.name}.{k}") for k, a in parts.items())
    inputs = [node.input[0], *(f"{node.name}.{k}" for k in parts)]
    node.CopyFrom(
        helper.make_node(
            "MatMulNBits", inputs, node.output, node.name, domain="com.microsoft",
            K=matrix.shape[0], N=matrix.shape[1], bits=BITS, block_size=SIZE, accuracy_level=LEVEL,
        )
    )\
"""

_CLOSE = """
used = {{name for node in model.graph.node for name in node.input}} | {{v.name for v in model.graph.output}}
kept = [w for w in model.graph.initializer if w.name in used]
del model.graph.initializer[:]
model.graph.initializer.extend(kept)
if not any(o.domain == "com.microsoft" for o in model.opset_import):
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
onnx.save(model, "model-{suffix}.onnx")\
"""


def plain_code(
    *,
    bits: int,
    block_size: int = 32,
    symmetric: bool = False,
    accuracy_level: int = 0,
    algorithm: str = "rtn",
    op_types: Iterable[str] = KINDS,
    exclude_ops: Iterable[str] = (),
    exclude_nodes: Iterable[str] = (),
) -> str:
    """``model.onnx`` in (with ``calibration.npz`` for GPTQ), ``model-int4.onnx`` or ``model-int8-weights.onnx`` out."""
    left_out = set(exclude_ops)
    kinds = [k for k in op_types if k not in left_out]
    numbers = {"bits": bits, "block_size": block_size, "symmetric": symmetric}
    zeros = "" if symmetric else ', "zero_points": zeros'
    parts = [_open(algorithm, list(exclude_nodes))]
    parts += [_GEMM] * ("Gemm" in kinds)
    parts += [_TABLES.format(**numbers, zeros=zeros)] * ("Gather" in kinds)
    if "MatMul" in kinds or "Gemm" in kinds:
        parts.append(_products(algorithm, numbers, accuracy_level))
    return "\n".join([*parts, _CLOSE.format(suffix="int4" if bits == 4 else "int8-weights")])


def _open(algorithm: str, left_out: list[str]) -> str:
    tools = {"DefaultWeightOnlyQuantConfig", "DefaultWeightOnlyQuantizer"}
    if algorithm == "gptq":
        sources = "\n\n".join(
            inspect.getsource(f).rstrip()
            for f in (
                _nbits_weights.Blocks,
                _nbits_weights.packed,
                _nbits_weights._pack,
                _gptq.gptq,
                _gptq._spread,
                _gptq._grid,
            )
        )
        code = _OPEN.format(
            imports=_listed(tools), sources=f"Array = np.ndarray\n\n\n{sources}\n\n\n", left_out=left_out
        )
        first = "from dataclasses import dataclass\n\n"
        return first + code.replace("import onnx\n", "import onnx\nimport onnxruntime as ort\n", 1)
    return _OPEN.format(
        imports=_listed(tools | {_CONFIGS[algorithm], "MatMulNBitsQuantizer"}), sources="", left_out=left_out
    )


def _listed(names: Iterable[str]) -> str:
    return "\n".join(f"    {name}," for name in sorted(names))


def _products(algorithm: str, numbers: dict[str, int], level: int) -> str:
    bits, size, symmetric = numbers["bits"], numbers["block_size"], numbers["symmetric"]
    if algorithm == "gptq":
        words = {"BITS": bits, "SIZE": size, "SYMMETRIC": symmetric, "LEVEL": level}
        text = _GPTQ
        for word, number in words.items():
            text = text.replace(f"={word}", f"={number}")
        return text
    ops = 'op_types_to_quantize=("MatMul",)'
    config = {
        "rtn": f"block_size={size}, is_symmetric={symmetric}, accuracy_level={level}, bits={bits}, {ops}",
        "hqq": f"block_size={size}, bits={bits}, {ops}",
        "k_quant": 'customized_weight_config={n.name: {"bits": '
        + f"{bits}"
        + '} for n in model.graph.node if n.op_type == "MatMul"}',
    }[algorithm]
    return _MATMUL.format(**numbers, level=level, config=f"{_CONFIGS[algorithm]}({config})")

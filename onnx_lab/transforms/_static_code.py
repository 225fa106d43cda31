"""The plain code of static int8: onnxruntime's quantize_static with what has to be told to it."""

from __future__ import annotations

from collections.abc import Iterable

from onnx_lab.transforms import _static_nodes as nodes
from onnx_lab.transforms._smooth_code import smooth_code

_METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile", "distribution": "Distribution"}
_TYPES = {"int8": "QuantType.QInt8", "uint8": "QuantType.QUInt8"}

_READER = '''\
import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

model = onnx.load("model.onnx")
del model.graph.value_info[:]  # stale shapes would contradict the quantizer's own
for i, node in enumerate(model.graph.node):
    node.name = node.name or f"node_{i}"  # what is to stay float is told by name


class Samples(CalibrationDataReader):
    """calibration.npz: an array for each input of the model, samples along the first axis."""

    def __init__(self):
        arrays = dict(np.load("calibration.npz"))
        size = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
        count = len(next(iter(arrays.values()))) // size
        self.left = ({k: v[i * size : (i + 1) * size] for k, v in arrays.items()} for i in range(count))

    def get_next(self):
        return next(self.left, None)


made_by = {name: node for node in model.graph.node for name in node.output}
weights = {w.name for w in model.graph.initializer}
weights |= {node.output[0] for node in model.graph.node if node.op_type == "Constant"}
# products of two activations (attention) have no weights to gain from
in_float = [n.name for n in model.graph.node if n.op_type in ("MatMul", "Gemm") and not weights & set(n.input[:2])]\
'''

_OUTPUT = """\
# the scores and what follows them: 8 bits there change answers
ahead = [v.name for v in model.graph.output]
while ahead:
    node = made_by.get(ahead.pop())
    if node is None or node.op_type not in {kinds}:
        continue
    in_float.append(node.name)
    flowing = [name for name in node.input if name in made_by and name not in weights]
    if node.op_type not in {makers} and (node.op_type != "Add" or len(flowing) == 1):
        ahead += flowing\
"""

_FLOATS = """\
present = {{node.op_type for node in model.graph.node}}
# products whose results stay float; not in front of a Relu, or their weights are unpacked at each run
float_out = {products} if present & set({transformer}) else [] if "Conv" in present else ["MatMul"]\
"""

_MORE = """\
if "Conv" in present and not present & set({transformer}):
    kinds += {more}\
"""


def plain_code(
    *,
    calibration: str = "minmax",
    percentile: float = 99.999,
    format: str = "qdq",  # noqa: A002  (the field's name)
    per_channel: bool = True,
    symmetric: bool = False,
    activation_type: str = "uint8",
    weight_type: str = "int8",
    reduce_range: bool = False,
    op_types: Iterable[str] | None = None,
    exclude_ops: Iterable[str] = (),
    exclude_nodes: Iterable[str] = (),
    quantize_output: bool = False,
    smooth: float | str = "auto",
    cap_mb: float = 0,
) -> str:
    """``model.onnx`` and ``calibration.npz`` in, ``model-int8.onnx`` out, with onnxruntime alone."""
    del cap_mb  # onnxruntime has none
    left_out = set(exclude_ops)
    kinds = [k for k in (nodes.ALWAYS if op_types is None else op_types) if k not in left_out]
    more = [k for k in nodes.BETWEEN_CONVOLUTIONS if k not in left_out] if op_types is None else []
    makers, behind = sorted(nodes.MAKERS), sorted(nodes.MAKERS | nodes.BEHIND)
    output = [] if quantize_output else [_OUTPUT.format(kinds=behind, makers=makers)]
    extra: dict[str, object] = {"ActivationSymmetric": symmetric, "DefaultTensorType": 1}
    extra |= {"CalibPercentile": percentile} if calibration == "percentile" else {}
    return "\n".join(
        [
            _READER,
            *output,
            f"kinds = {kinds!r}",
            _FLOATS.format(transformer=sorted(nodes.TRANSFORMER), products=list(nodes.FLOAT_OUT)),
            *smooth_code(smooth, kinds),
            *([_MORE.format(transformer=sorted(nodes.TRANSFORMER), more=more)] if more else []),
            "quantize_static(",
            "    model,",
            '    "model-int8.onnx",',
            "    Samples(),",
            f"    quant_format=QuantFormat.{'QDQ' if format == 'qdq' else 'QOperator'},",
            "    op_types_to_quantize=kinds,",
            f"    per_channel={per_channel},",
            f"    reduce_range={reduce_range},",
            f"    activation_type={_TYPES[activation_type]},",
            f"    weight_type={_TYPES[weight_type]},",
            f"    nodes_to_exclude=[*in_float, *{list(exclude_nodes)!r}],",
            f"    calibrate_method=CalibrationMethod.{_METHODS[calibration]},",
            f"    extra_options={{**{extra!r}, 'OpTypesToExcludeOutputQuantization': float_out}},",
            ")",
        ]
    )

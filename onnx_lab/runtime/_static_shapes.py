"""Shapes and types of all tensors of a file, computed from the sizes of its inputs. No weight is read.

ONNX's own inference (C++) does most of it, in some milliseconds. Where a shape is computed inside the graph by what it
does not follow (Range, Slice, Expand), that arithmetic on a few integers is done here and put in its place, and the
inference runs again. It can crash on a broken file: this runs in the child only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from onnx_lab._in_place import skeleton
from onnx_lab._onnxfile import dtype_name
from onnx_lab.runtime._wire import Array

#: Tensors of more bytes say nothing about shapes.
_SMALL_BYTES = 1024
#: Numbers that a computed shape, or a list of positions, may have.
_MOST = 4096
#: How often, and for how many seconds, arithmetic and inference take turns.
_ROUNDS, _SECONDS = 40, 3.0
_COMPUTED = frozenset(
    "Abs Add And Cast Ceil Concat ConstantOfShape Div Equal Expand Flatten Floor Gather GatherND Greater "
    "GreaterOrEqual Identity Less LessOrEqual Max Min Mod Mul Neg Not Or Pad Pow Range ReduceMax ReduceMin ReduceProd "
    "ReduceSum Reshape ScatterND Slice Sqrt Squeeze Sub Tile Transpose Unsqueeze Where".split()
)
#: Operators of ONNX Runtime's own, of which ONNX's inference knows nothing: their result is like the first input.
_LIKE_FIRST = frozenset(
    "BiasGelu FastGelu Gelu GemmaRotaryEmbedding GroupQueryAttention MultiHeadAttention QuickGelu RotaryEmbedding "
    "SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization SimplifiedLayerNormalization".split()
)

#: A tensor's dtype, and its shape where it is known: names and None stand for sizes that are not.
Typed = tuple[str, list[int | str | None] | None]


def infer(path: str, sizes: Mapping[str, Sequence[int]] | None) -> dict[str, Typed]:
    """Tensor -> dtype and shape, sub-graphs included.

    Parameters
    ----------
    path : str
    sizes : mapping of str to sequence of int, optional
        Input -> its shape. Default: axes keep their names.
    """
    proto = _light(Path(path))
    if sizes is None:
        return _types(_inferred(proto).graph)
    told = {v.name: v for v in proto.graph.value_info}
    names = _fix(proto.graph, sizes)
    found = _settled(proto)
    if left := [v for n, v in told.items() if not _known(found.get(n))]:
        # operators that nobody can infer: what the exporter wrote down, with the sizes in place of the names
        _substitute(left, names)
        proto.graph.value_info.extend(left)
        found = _settled(proto)
    return found


def _light(path: Path) -> onnx.ModelProto:
    """The graph with weights that are small enough to be a shape, and the others by their dtype and shape alone."""
    try:
        proto = skeleton(path)[0]
    except ValueError:
        proto = onnx.load(path, load_external_data=False)
    for tensor in (*proto.graph.initializer, *_constants(proto.graph)):
        if math.prod(tensor.dims) > _SMALL_BYTES // 8:
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "string_data"):
                tensor.ClearField(field)
        elif tensor.data_location == tensor.EXTERNAL and tensor.data_type in (tensor.INT32, tensor.INT64):
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = tensor.DEFAULT
    return proto


def _constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for node in graph.node:
        if node.op_type == "Constant":
            yield from (a.t for a in node.attribute if a.type == a.TENSOR)


def _fix(graph: onnx.GraphProto, sizes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Give the inputs their sizes and drop all other shapes; return what each name of an axis came to."""
    names: dict[str, int] = {}
    for value in graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, sizes.get(value.name, ()), strict=False):
            if dim.dim_param:
                names[dim.dim_param] = size
            dim.dim_value = size
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    return names


def _substitute(values: Sequence[onnx.ValueInfoProto], names: Mapping[str, int]) -> None:
    for value in values:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_value = names[dim.dim_param]
            elif not dim.HasField("dim_value"):
                dim.Clear()


def _settled(proto: onnx.ModelProto) -> dict[str, Typed]:
    """Inference and arithmetic in turns, until neither finds more. `proto` keeps the arithmetic's results."""
    values: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer if _whole(t)}
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)
    end = time.monotonic() + _SECONDS
    found: dict[str, Typed] = {}
    for _ in range(_ROUNDS):
        inferred = _inferred(proto)
        found |= _types(inferred.graph, found)
        guessed = _contributed(proto.graph, found)
        missing = any(o and not _known(found.get(o)) for n in proto.graph.node for o in n.output)
        if not missing or time.monotonic() > end or not _compute(proto.graph, found, values, opset) + guessed:
            break
    return found


def _inferred(proto: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception:  # it raises RuntimeError and its own for a graph that it cannot walk through
        return proto


def _contributed(graph: onnx.GraphProto, found: dict[str, Typed]) -> int:
    """Shapes of ONNX Runtime's own operators, in `found` and for the next round; how many were new."""
    new = 0
    for node in graph.node:
        if node.domain != "com.microsoft" or not node.output or _known(found.get(node.output[0])):
            continue
        typed = _microsoft(node, found)
        if typed is not None and typed[1] is not None:
            found[node.output[0]] = typed
            element = onnx.TensorProto.DataType.Value(_PROTO_NAMES.get(typed[0], typed[0].upper()))
            graph.value_info.append(onnx.helper.make_tensor_value_info(node.output[0], element, typed[1]))
            new += 1
    return new


_PROTO_NAMES = {"float32": "FLOAT", "float64": "DOUBLE"}


def _microsoft(node: onnx.NodeProto, found: Mapping[str, Typed]) -> Typed | None:
    first = found.get(node.input[0]) if node.input else None
    if first is None or first[1] is None:
        return None
    second = found.get(node.input[1]) if len(node.input) > 1 else None
    if node.op_type in _LIKE_FIRST:
        return first
    if node.op_type == "MatMulNBits":
        return first[0], [*first[1][:-1], next((a.i for a in node.attribute if a.name == "N"), None)]
    if second is None or not second[1]:
        return None
    if node.op_type in ("Attention", "QAttention"):
        width = second[1][-1]
        return _float(first), [*first[1][:-1], width // 3 if isinstance(width, int) else None]
    if node.op_type in ("FusedMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"):
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        return _float(first), [*first[1][:-1], second[1][-2 if turned else -1]]
    return None


def _float(typed: Typed) -> str:
    return typed[0] if "float" in typed[0] else "float32"


def _compute(graph: onnx.GraphProto, found: Mapping[str, Typed], values: dict[str, Array], opset: int) -> int:
    """Put constants in place of nodes that compute shapes; how many."""
    done = 0
    for node in graph.node:
        if len(node.output) != 1 or node.output[0] in values or node.domain not in ("", "ai.onnx"):
            continue
        if (value := _value(node, found, values, opset)) is None:
            continue
        values[node.output[0]] = value
        if node.op_type != "Constant":
            node.op_type, done = "Constant", done + 1
            del node.input[:], node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("value", numpy_helper.from_array(value)))
    return done


def _value(node: onnx.NodeProto, found: Mapping[str, Typed], values: Mapping[str, Array], opset: int) -> Array | None:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute if not a.ref_attr_name}
    if node.op_type == "Constant":
        tensor = attributes.get("value")
        return numpy_helper.to_array(tensor) if isinstance(tensor, onnx.TensorProto) and _whole(tensor) else None
    if node.op_type in ("Shape", "Size"):
        shape = (found.get(node.input[0]) or ("", None))[1]
        if not _known(("", shape)) or shape is None:
            return None
        dims = np.array(shape[attributes.get("start", 0) : attributes.get("end", len(shape))], np.int64)
        return dims if node.op_type == "Shape" else np.array(math.prod(dims.tolist()), np.int64)
    if node.op_type not in _COMPUTED or not all(not name or name in values for name in node.input):
        return None
    inputs = [values[name] if name else None for name in node.input]
    return _evaluated(node.op_type, inputs, attributes, opset)


def _evaluated(op: str, inputs: list[Any], attributes: Mapping[str, Any], opset: int) -> Array | None:
    from onnx.reference.ops import load_op

    try:
        if op in _TOO_LARGE and _TOO_LARGE[op](inputs):
            return None
        kernel: Any = load_op("", op, opset)
        made = np.asarray(kernel.eval(*inputs, **attributes))
    except Exception:  # a broken or unusual node: its shape stays unknown
        return None
    return made if made.dtype.kind in "biuf" and made.size <= _MOST else None


def _beyond(dims: Any) -> bool:
    return math.prod(int(d) for d in np.ravel(dims)) > _MOST


#: Operators that make many numbers of few: asked before they are computed.
_TOO_LARGE: dict[str, Callable[[list[Any]], bool]] = {
    "ConstantOfShape": lambda x: _beyond(x[0]),
    "Expand": lambda x: _beyond(x[1]),
    "Tile": lambda x: x[0].size * math.prod(int(d) for d in np.ravel(x[1])) > _MOST,
    "Range": lambda x: abs(float(x[1]) - float(x[0])) > _MOST * abs(float(x[2])),
    "Pad": lambda x: x[0].size + float(np.abs(x[1]).sum()) ** max(1, x[0].ndim) > _MOST,
    "Pow": lambda x: x[0].dtype.kind in "iu" and float(np.abs(x[1]).max(initial=0)) > 64,
}


def _whole(tensor: onnx.TensorProto) -> bool:
    """Whether its few numbers are at hand."""
    small = math.prod(tensor.dims) <= _SMALL_BYTES // 8
    at_hand = tensor.data_location != tensor.EXTERNAL and tensor.data_type != tensor.STRING
    return small and at_hand and (math.prod(tensor.dims) == 0 or _has_data(tensor))


def _has_data(tensor: onnx.TensorProto) -> bool:
    return any(
        len(getattr(tensor, f))
        for f in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")
    )


def _known(typed: Typed | None) -> bool:
    return typed is not None and typed[1] is not None and all(isinstance(d, int) for d in typed[1])


def _types(graph: onnx.GraphProto, before: Mapping[str, Typed] = MappingProxyType({})) -> dict[str, Typed]:
    """What the graph says of its tensors; not again what is known from `before`."""
    found: dict[str, Typed] = {}
    settled = {name for name, typed in before.items() if _known(typed)}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.name not in settled and value.type.HasField("tensor_type"):
            kind = value.type.tensor_type
            dims = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in kind.shape.dim]
            found[value.name] = dtype_name(kind.elem_type), dims if kind.HasField("shape") else None
    for tensor in [] if before else graph.initializer:
        found[tensor.name] = dtype_name(tensor.data_type), list(tensor.dims)
    for node in graph.node:
        if node.op_type == "Constant":
            for a in node.attribute:
                if a.type == a.TENSOR and node.output and node.output[0] not in settled:
                    found[node.output[0]] = dtype_name(a.t.data_type), list(a.t.dims)
        for a in node.attribute:
            for inner in [a.g] * a.HasField("g") + list(a.graphs):
                found = _types(inner, before) | found  # names of the outer graph win
    return found

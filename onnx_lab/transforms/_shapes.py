"""Shapes that ONNX's own inference leaves unknown, found by ONNX Runtime's symbolic inference.

The TorchScript exporter computes shapes inside the graph (Shape, Gather, Concat, Reshape); only symbolic arithmetic
tells from them that a tensor is ``[batch, heads, sequence, 64]``, and fusions ask exactly that.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, Any

from onnx_lab._quiet import quiet

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

#: Weights above this many bytes are shown to the inference as inputs: their values say nothing about shapes.
_LARGE_BYTES = 1024
#: The inference knows the operators from here on.
_OLDEST_OPSET = 7
_MODULE = "onnxruntime.tools.symbolic_shape_infer"


def infer_symbolic_shapes(model: ir.Model) -> int:
    """Fill in shapes and dtypes in place; return how many values gained a shape. A graph it cannot read stays as is."""
    import onnx_ir as ir

    try:
        tool = _tool()
    except ImportError:  # no engine, or no sympy: fusions then see less, and say so
        return 0
    proto = ir.to_proto(_without_weights(model))
    try:
        # it prints and logs each operator that it does not know
        with quiet(_MODULE):
            inferred = _inferred(tool, proto)
    except Exception:
        # it fails in many ways on unusual graphs (assertions, sympy errors); shapes only help, never decide
        return 0
    return _adopt(model, ir.from_proto(inferred)) if inferred is not None else 0


@functools.cache
def _tool() -> Any:
    """ONNX Runtime's class, read from its file: importing its package imports PyTorch, which takes three seconds."""
    engine = importlib.util.find_spec("onnxruntime")
    folders = engine.submodule_search_locations if engine is not None else None
    if not folders:
        raise ImportError("onnxruntime is not installed")
    spec = importlib.util.spec_from_file_location(_MODULE, f"{folders[0]}/tools/symbolic_shape_infer.py")
    if spec is None or spec.loader is None:
        raise ImportError(_MODULE)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OSError as e:  # an engine of another layout
        raise ImportError(str(e)) from None
    return module.SymbolicShapeInference


def _inferred(tool: Any, proto: onnx.ModelProto) -> onnx.ModelProto | None:
    """What ``SymbolicShapeInference.infer_shapes`` does, None where that gives up.

    The function itself then writes ``sym_shape_infer_temp.onnx`` into the current folder, which is the user's.
    """
    if next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 0) < _OLDEST_OPSET:
        return None
    inference = tool(2**31 - 1, True, False, 0)
    inference._preprocess(proto)
    complete = False
    while inference.run_:
        complete = inference._infer_impl()
    inference._update_output_from_vi()
    inferred: onnx.ModelProto = inference.out_mp_
    return inferred if complete else None


def _without_weights(model: ir.Model) -> ir.Model:
    """A copy without inferred shapes, whose large initializers are inputs."""
    import onnx_ir as ir

    light = model.clone()
    graph = light.graph
    for node in graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = None  # made-up names of earlier inferences would stand in the way of the real ones
    for value in list(graph.initializers.values()):
        if value.const_value is not None and value.const_value.nbytes > _LARGE_BYTES:
            value.shape, value.dtype = ir.Shape(value.const_value.shape.numpy()), value.const_value.dtype
            graph.initializers.pop(value.name)  # type: ignore[arg-type]
            value.const_value = None
            if value not in graph.inputs:
                graph.inputs.append(value)
    return light


def _adopt(model: ir.Model, inferred: ir.Model) -> int:
    known = {o.name: o for node in inferred.graph for o in node.outputs}
    gained = 0
    for node in model.graph:
        for value in node.outputs:
            found = known.get(value.name)
            if found is None or found.shape is None:
                continue
            if value.shape is None or _unknown(value.shape) > _unknown(found.shape):
                value.shape = found.shape
                gained += 1
            if value.dtype is None and found.dtype is not None:
                value.dtype = found.dtype
    return gained


def _unknown(shape: ir.Shape) -> int:
    """Axes whose size is neither a number nor one of the model's own names."""
    return sum(not isinstance(d, int) and (d.value is None or str(d.value).startswith("unk__")) for d in shape)


def take_shapes_from_inputs(model: ir.Model) -> int:
    """Compute shapes from the graph's inputs instead of from tensors inside it; return how many.

    A tensor whose shape is asked for elsewhere cannot disappear into a fused node.
    """
    import onnx_ir as ir

    if model.opset_imports.get("", 0) < 15:  # Shape has no start and end before
        return 0
    graph = model.graph
    homes: dict[str, tuple[ir.Value, int]] = {}
    for value in graph.inputs:
        for axis, dim in enumerate(value.shape or ()):
            if not isinstance(dim, int) and dim.value is not None and value.name not in graph.initializers:
                homes.setdefault(dim.value, (value, axis))
    pieces: dict[int | str, ir.Value] = {}
    count = 0
    for node in [n for n in graph if n.op_type == "Shape"]:
        inner = node.inputs[0]
        if inner is None or inner.shape is None or inner.is_graph_input():
            continue
        start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(inner.shape))
        dims = [d if isinstance(d, int) else d.value or "" for d in inner.shape][start:end]
        if not dims or any(isinstance(d, str) and d not in homes for d in dims):
            continue
        parts = [pieces[d] if d in pieces else pieces.setdefault(d, _dimension(graph, d, homes)) for d in dims]
        whole = ir.node("Concat", parts, {"axis": 0}, name=f"{node.name}.from_inputs")
        whole.metadata_props.update(node.metadata_props)
        ir.convenience.replace_nodes_and_values(graph, node, [node], [whole], node.outputs, whole.outputs)
        count += 1
    return count


def _dimension(graph: ir.Graph, dim: int | str, homes: dict[str, tuple[ir.Value, int]]) -> ir.Value:
    """A vector of one int64 that holds this dimension."""
    import numpy as np
    import onnx_ir as ir

    if isinstance(dim, int):
        value = ir.Value(name=f"shape.{dim}", const_value=ir.tensor(np.array([dim], np.int64)))
        value.shape, value.dtype = ir.Shape([1]), ir.DataType.INT64
        graph.register_initializer(value)
        return value
    source, axis = homes[dim]
    node = ir.node("Shape", [source], {"start": axis, "end": axis + 1}, name=f"shape.{dim}")
    node.outputs[0].name, node.outputs[0].shape = f"shape.{dim}_out", ir.Shape([1])
    node.outputs[0].dtype = ir.DataType.INT64
    graph.insert_before(graph[0], node)
    return node.outputs[0]

"""A converter's graph made clean by onnxruntime's basic optimizations, and still a portable one.

Basic means what holds on any machine: constants folded, Transposes pushed together until they cancel, a bias behind a
convolution taken into it. What that session writes has lost the scopes of its nodes and declares operator sets that
it does not use; both are put right here. Fused operators of one engine never get in: then the graph stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnx_lab import workspace
from onnx_lab.errors import OnnxLabError
from onnx_lab.produce import write_ir
from onnx_lab.runtime.offline import save_optimized
from onnx_lab.runtime.target import Target

#: How an optimizer marks a node that it made of others: the first part is the name of one of them.
_MADE_OF = ("/", "_token_", "_nchwc")


def tidied(graph: ir.Model) -> tuple[ir.Model, str]:
    """The graph after the basic optimizations, and one sentence on what they did; `graph` may be changed.

    Notes
    -----
    Two things are made ready first. ``x - constant``, as Keras normalizes a batch, becomes ``x + (-constant)``: an
    addition can be taken into the convolution before it. And a bias behind a Transpose goes in front of it.

    Returns
    -------
    tuple of onnx_ir.Model and str
    """
    before = _operators(graph)
    _add_instead_of_subtract(graph)
    _bias_into_convolutions(graph)
    _drop_unused(graph)
    try:
        clean = _optimized(graph)
    except OnnxLabError as e:
        return graph, f"left as the exporter wrote it ({len(before)} nodes): {e.came[:200]}"
    after = _operators(clean)
    if any(node.domain not in ("", "ai.onnx", "ai.onnx.ml") for node in clean.graph.all_nodes()):
        return graph, f"left as the exporter wrote it ({len(before)} nodes): cleaned, it would run in onnxruntime only"
    _restore(clean, graph)
    glue = f"{before.count('Transpose')} Transposes became {after.count('Transpose')}"
    return clean, f"{len(before)} nodes became {len(after)} by onnxruntime's basic optimizations: {glue}"


def _optimized(graph: ir.Model) -> ir.Model:
    with workspace.scratch() as folder:
        write_ir(graph, folder / "raw.onnx")
        save_optimized(
            folder / "raw.onnx", Target.of("cpu"), {"graph_optimization_level": "basic"}, folder / "clean.onnx"
        )
        clean = ir.load(folder / "clean.onnx")
        ir.external_data.load_to_model(clean)  # the scratch folder goes
    return clean


def _add_instead_of_subtract(graph: ir.Model) -> None:
    for node in list(graph.graph):
        subtracted = _constant(node, 1) if node.op_type == "Sub" else None
        if subtracted is not None and subtracted.dtype.kind == "f":
            node.op_type = "Add"
            node.replace_input_with(1, _initializer(graph, f"{node.name}_negative", -subtracted))


def _bias_into_convolutions(graph: ir.Model) -> None:
    """``Transpose(Conv(x)) + bias``, as Keras writes a bias in its own layout, becomes a Conv with that bias."""
    for node in list(graph.graph):
        transpose = node.inputs[0].producer() if node.op_type == "Add" and node.inputs[0] is not None else None
        if transpose is None or transpose.op_type != "Transpose" or transpose.inputs[0] is None:
            continue
        convolution, bias = transpose.inputs[0].producer(), _constant(node, 1)
        if convolution is None or convolution.op_type not in ("Conv", "ConvTranspose") or bias is None:
            continue
        alone = len(convolution.outputs[0].uses()) == len(transpose.outputs[0].uses()) == 1
        if not bias.ndim or not alone or transpose.attributes["perm"].as_ints()[-1] != 1 or bias.size != bias.shape[-1]:
            continue
        filters = _bias_length(convolution)
        if filters is None or bias.size not in (1, filters):
            continue
        before = _constant(convolution, 2) if len(convolution.inputs) > 2 else 0
        if before is None:
            continue
        total = np.broadcast_to(bias.ravel(), (filters,)) + before
        convolution.resize_inputs(3)
        convolution.replace_input_with(2, _initializer(graph, f"{convolution.name}_bias_{node.name}", total))
        node.outputs[0].replace_all_uses_with(transpose.outputs[0], replace_graph_outputs=True)
        graph.graph.remove(node, safe=True)


def _bias_length(convolution: ir.Node) -> int | None:
    """Output channels of a Conv or ConvTranspose whose weights are known."""
    weights = _constant(convolution, 1)
    if weights is None:
        return None
    group = convolution.attributes["group"].as_int() if "group" in convolution.attributes else 1
    return int(weights.shape[0] if convolution.op_type == "Conv" else weights.shape[1] * group)


def _constant(node: ir.Node, index: int) -> npt.NDArray[Any] | None:
    value = node.inputs[index]
    return None if value is None or value.const_value is None else value.const_value.numpy()


def _initializer(graph: ir.Model, name: str, array: npt.NDArray[Any]) -> ir.Value:
    tensor = ir.tensor(np.ascontiguousarray(array), name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.graph.register_initializer(value)
    return value


def _drop_unused(graph: ir.Model) -> None:
    outputs = set(graph.graph.outputs)
    for name, value in list(graph.graph.initializers.items()):
        if not value.uses() and value not in outputs:
            del graph.graph.initializers[name]


def _restore(clean: ir.Model, raw: ir.Model) -> None:
    """Scopes by node name, the dimensions' names of inputs and outputs, and only the operator sets in use."""
    known = {node.name: node.metadata_props for node in raw.graph.all_nodes()}
    for node in clean.graph.all_nodes():
        name = next((n for n in _candidates(node.name or "") if n in known), None)
        if name is not None:
            node.metadata_props.update(known[name])
    used = {node.domain for node in clean.graph.all_nodes()} | {""}
    for domain in [d for d in clean.opset_imports if d not in used]:
        del clean.opset_imports[domain]
    for ours, theirs in (
        *zip(clean.graph.inputs, raw.graph.inputs, strict=True),
        *zip(clean.graph.outputs, raw.graph.outputs, strict=True),
    ):
        ours.shape = theirs.shape
    clean.producer_name, clean.producer_version = raw.producer_name, raw.producer_version


def _candidates(name: str) -> Iterator[str]:
    yield name
    for mark in _MADE_OF:
        yield name.split(mark)[0]


def _operators(graph: ir.Model) -> list[str]:
    return [node.op_type for node in graph.graph.all_nodes()]

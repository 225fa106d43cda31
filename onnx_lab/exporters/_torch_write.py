"""The two exporters of PyTorch, each as one function from a source to a graph, silent and with the opset asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from onnx_lab import workspace
from onnx_lab._metadata import NAME_SCOPES_KEY
from onnx_lab._quick_rules import quick_rules
from onnx_lab._quiet import Heard, quiet
from onnx_lab.errors import ExportError
from onnx_lab.exporters._axes import Axes
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters._torch_source import TorchSource

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

#: Loggers that speak during an export of what a caller cannot act on.
CHATTER = ("torch", "onnxscript", "onnx_ir", "transformers")
#: The TorchScript exporter's own bounds.
TORCHSCRIPT_OPSETS = range(7, 21)
#: Sizes above this are no bound anyone meets.
UNBOUNDED = 1 << 40


@dataclass(frozen=True)
class Written:
    """What an exporter gave: the graph, bounds of dynamic axes that the module's code implies, and sentences."""

    graph: ir.Model
    bounds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    exporter: str = ""


def dynamo(source: TorchSource, options: ExportOptions) -> Written:
    """Export through ``torch.export``; whatever torch raises passes through."""
    import torch

    names = list(source.inputs.names)
    shapes = {f"input_{i}": _named_axes(s.shape) for i, s in enumerate(source.inputs.specs)}
    with quiet(*CHATTER), quick_rules(), source.flattened() as module:
        program = torch.onnx.export(
            module,
            source.tensors(source.inputs.example),
            dynamo=True,
            input_names=names,
            output_names=list(source.output_names),
            dynamic_shapes=shapes if any(shapes.values()) else None,
            opset_version=options.opset_wanted,
            optimize=options.constant_folding,
            verbose=False,
        )
    graph = program.model
    _check_opset(graph, options.opset_wanted, "the dynamo exporter")
    return Written(graph, _bounds(program.exported_program, source), exporter="dynamo")


def torchscript(source: TorchSource, options: ExportOptions) -> Written:
    """Export by tracing one call; Python branches are those that the example takes."""
    import onnx_ir as ir
    import torch

    if options.opset_wanted not in TORCHSCRIPT_OPSETS:
        raise ExportError(
            f"the TorchScript exporter does not write opset {options.opset_wanted}",
            accepted=f"opset up to {TORCHSCRIPT_OPSETS.stop - 1} with it",
            do="leave opset out, or exporter='dynamo'",
        )
    axes = {s.name: named for s in source.inputs.specs if (named := _named_axes(s.shape))}
    # its C++ part prints whole graphs when it meets an operator that it does not know
    with (
        workspace.scratch() as folder,
        quiet(*CHATTER, descriptors=True) as heard,
        source.flattened() as module,
    ):
        torch.onnx.export(
            module,
            source.tensors(source.inputs.example),
            str(folder / "traced.onnx"),
            dynamo=False,
            input_names=list(source.inputs.names),
            output_names=list(source.output_names),
            dynamic_axes=axes,
            opset_version=options.opset_wanted,
            do_constant_folding=options.constant_folding,
        )
        graph = ir.load(folder / "traced.onnx")
        ir.external_data.load_to_model(graph)  # the scratch folder goes
    _check_opset(graph, options.opset_wanted, "the TorchScript exporter")
    _keep_inputs(graph, source)
    _keep_scopes(graph)
    return Written(graph, said=_baked_in(heard), exporter="torchscript")


#: Exporter's name -> how it is called.
WRITERS: dict[str, Callable[[TorchSource, ExportOptions], Written]] = {"dynamo": dynamo, "torchscript": torchscript}


def name_output_axes(graph: ir.Model, source: TorchSource, axes: Axes) -> None:
    """Give the outputs' dynamic axes the names of the inputs' axes that they follow, where the exporter did not.

    Told from one run of the source at other sizes: an axis as long as ``sequence`` is ``sequence``.
    """
    import onnx_ir as ir

    invented = [v for v in graph.graph.outputs if any("_dim_" in str(d) for d in v.shape or ())]
    if not invented:
        return
    sizes = {axis: tests[-1] for axis, tests in axes.tests.items()}
    shapes = {name: array.shape for name, array in source.run(axes.inputs.feeds(sizes)).items()}
    for value in invented:
        dims = list(value.shape or ())
        for i, length in enumerate(shapes[value.name or ""]):
            follows = [axis for axis, size in sizes.items() if size == length]
            if "_dim_" in str(dims[i]) and len(follows) == 1:
                dims[i] = ir.SymbolicDim(follows[0])
        value.shape = ir.Shape(dims)


def _named_axes(shape: tuple[int | str | None, ...]) -> dict[int, str]:
    return {axis: d for axis, d in enumerate(shape) if isinstance(d, str)}


def _check_opset(graph: ir.Model, wanted: int, who: str) -> None:
    """The dynamo exporter keeps its own opset in silence when it cannot convert."""
    written = graph.opset_imports.get("", 0)
    if written != wanted:
        raise ExportError(
            f"opset {wanted} was asked for, and {who} could only write {written} for this model",
            do=f"opset={written}, or leave it out",
        )


def _bounds(program: torch.export.ExportedProgram, source: TorchSource) -> dict[str, tuple[int, int]]:
    """Smallest and largest size of each dynamic axis for which the exported branch is the module's own.

    ``torch.export`` follows ``if x.shape[0] > 5`` on one side and keeps the range in which that is right. A lower
    bound of 2 says nothing: it supposes that of every axis, and the check runs a batch of 1.
    """
    ranges = {str(symbol): limits for symbol, limits in program.range_constraints.items()}
    nodes = {n.name: n for n in program.graph.nodes}
    bounds: dict[str, tuple[int, int]] = {}
    for spec, name in zip(source.inputs.specs, program.graph_signature.user_inputs, strict=True):
        for axis, axis_name in _named_axes(spec.shape).items():
            limits = ranges.get(str(nodes[name].meta["val"].shape[axis]))
            if limits is not None and (limits.lower > 2 or limits.upper < UNBOUNDED):
                low, high = bounds.get(axis_name, (0, UNBOUNDED))
                bounds[axis_name] = (max(low, int(limits.lower)), min(high, int(min(limits.upper, UNBOUNDED))))
    return bounds


def _keep_inputs(graph: ir.Model, source: TorchSource) -> None:
    """Give back the inputs that the module never uses: who calls it by its signature feeds them too."""
    import onnx_ir as ir

    kept, example = {v.name: v for v in graph.graph.inputs}, source.inputs.example
    graph.graph.inputs[:] = [
        kept.get(s.name)
        or ir.Value(
            name=s.name, shape=ir.Shape(s.shape), type=ir.TensorType(ir.DataType.from_numpy(example[s.name].dtype))
        )
        for s in source.inputs.specs
    ]


def _keep_scopes(graph: ir.Model) -> None:
    """Write the module path of each node as the dynamo exporter does: here it is only in the node's name."""
    for node in graph.graph.all_nodes():
        parts = (node.name or "").split("/")
        if len(parts) > 2 and not parts[0]:
            scopes = ["", *(".".join(parts[1 : i + 1]) for i in range(1, len(parts) - 1)), parts[-1]]
            node.metadata_props[NAME_SCOPES_KEY] = repr(scopes)


def _baked_in(heard: Heard) -> tuple[str, ...]:
    """Sentences for values that the trace took from the example, where the user's own code did it."""
    places: dict[str, None] = {}
    for w in heard.warnings:
        if w.category.__name__ == "TracerWarning" and not _library(w.filename):
            places[f"{PurePath(w.filename).name}:{w.lineno}"] = None
    if not places:
        return ()
    return (f"TorchScript kept what the example decided at {', '.join(list(places)[:3])}: other data may go elsewhere",)


def _library(path: str) -> bool:
    return any(part in ("site-packages", "dist-packages") for part in PurePath(path).parts)

"""Paddle: a live ``paddle.nn.Layer``, or an inference model as ``paddle.jit.save`` writes it -> Model.

paddle2onnx aborts the whole process at an operator that it does not know. It therefore works in a child, on the saved
program; the layer itself is only run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab import workspace
from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput, missing
from onnx_lab.exporters import _axes
from onnx_lab.exporters._converted import Original, finish, refuse_pytorch_options
from onnx_lab.exporters._identity import folder_identity
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters._paddle_source import LayerSource, SavedSource, saved_specs
from onnx_lab.exporters._paddle_write import converted, saved
from onnx_lab.model import Model, TensorSpec
from onnx_lab.produce import Made, produce

if TYPE_CHECKING:
    import onnx_ir as ir

#: Their versions are part of the cache key.
TOOLS = ("onnx-lab", "paddlepaddle", "paddle2onnx", "onnx", "onnx-ir")
#: What paddle2onnx writes.
OPSETS = range(7, 22)
#: What a saved program is called, the present form first.
PROGRAMS = (".json", ".pdmodel")
WEIGHTS = ".pdiparams"


def saved_program(path: Path) -> Path | None:
    """The program file that `path` stands for: itself, the one beside its weights, or the only one in a folder.

    Examples
    --------
    >>> saved_program(Path("no/such/folder"))
    """
    if path.is_dir():
        weights = sorted(path.glob(f"*{WEIGHTS}"))
        return saved_program(weights[0]) if len(weights) == 1 else None
    if path.suffix not in (*PROGRAMS, WEIGHTS) or not path.is_file():
        return None
    found = [p for p in (path.with_suffix(s) for s in PROGRAMS) if p.is_file()]
    beside = path.with_suffix(WEIGHTS).is_file() or path.suffix == ".pdmodel"
    return found[0] if found and beside else None


def export_layer(layer: Any, example: Any, options: ExportOptions, name: str | None) -> Model:
    """Export a live layer; see `onnx_lab.export`. It is never cached: what a layer does is not in its weights alone."""
    _require(options)
    kind = type(layer).__name__
    return produce(
        "export", options.as_json(kind), lambda: _from_layer(layer, example, options), tools=TOOLS, name=name or kind
    )


def export_saved(path: Path, example: Any, options: ExportOptions, name: str | None) -> Model:
    """Export a saved inference model; see `onnx_lab.export`."""
    _require(options)
    program = saved_program(path)
    assert program is not None
    files = [f for f in (program, program.with_suffix(WEIGHTS)) if f.is_file()]
    return produce(
        "export",
        options.as_json(program.name),
        lambda: _from_saved(program, example, options),
        tools=TOOLS,
        name=name or program.stem,
        cache_key=folder_identity(files) if example is None else None,
    )


def _from_layer(layer: Any, example: Any, options: ExportOptions) -> Made:
    with quiet("paddle"):
        source = LayerSource.of(layer, example)
        axes = _dynamic(source.inputs, source.run, options, source.output_names)
        with workspace.scratch() as folder:
            program = saved(layer, axes.inputs, folder)
            graph = converted(program, options.opset_wanted, type(layer).__name__)
    _name_values(graph, axes.inputs, source.output_names, source.run(axes.inputs.example))
    original = Original("Paddle", axes.inputs, source, source.output_names)
    return finish(graph, original, axes.tests, options, code=_layer_code(layer, axes.inputs, options), said=axes.said)


def _from_saved(program: Path, example: Any, options: ExportOptions) -> Made:
    with quiet("paddle"):
        graph = converted(program, options.opset_wanted, program.name)
        source = SavedSource.of(program)
        inputs = _saved_inputs(saved_specs(graph), source, example)
        names = tuple(str(v.name) for v in graph.graph.outputs)
        source = replace(source, output_names=names)
        _check_runs(source, inputs, program)
        axes = _dynamic(inputs, source.run, options, names)
    _name_values(graph, axes.inputs, names, source.run(axes.inputs.example))
    original = Original("Paddle", axes.inputs, source, names)
    code = [
        "import paddle2onnx",
        "",
        f'paddle2onnx.export("{program.name}", "{program.stem}{WEIGHTS}", save_file="model.onnx",',
        f"                   opset_version={options.opset_wanted})",
    ]
    return finish(graph, original, axes.tests, options, code="\n".join(code), said=axes.said)


def _saved_inputs(specs: tuple[TensorSpec, ...], source: SavedSource, example: Any) -> Inputs:
    """The example's, or random feeds at small sizes; an axis the program leaves open is named."""
    from onnx_lab.feeds import random_feeds

    if example is None:
        feeds = random_feeds(specs, batch=2, seq=16)
    else:
        given = (
            example if isinstance(example, Mapping) else dict(zip(source.input_names, _listed(example), strict=False))
        )
        feeds = {s.name: np.asarray(given[s.name]) for s in specs if s.name in given}
    if absent := [s.name for s in specs if s.name not in feeds]:
        raise BadInput(f"no example for {', '.join(absent)}", accepted=", ".join(map(str, specs)), do="name them all")
    return Inputs(
        specs, feeds, samples={k: v for k, v in feeds.items() if v.dtype.kind in "iu" and example is not None}
    )


def _check_runs(source: SavedSource, inputs: Inputs, program: Path) -> None:
    try:
        source.run(inputs.example)
    except Exception as e:
        lines = [line.strip() for line in str(e).splitlines() if line.strip()] or [""]
        raise BadInput(
            f"Paddle does not run {program.name} on {'random inputs' if not inputs.samples else 'the example'}: "
            f"{lines[-1][:300]}",
            accepted="one batch that the model takes",
            do="lab.export(path, example={...}), with the inputs by name",
        ) from e


def _listed(example: Any) -> list[Any]:
    return list(example) if isinstance(example, (tuple, list)) else [example]


def _dynamic(inputs: Inputs, run: Any, options: ExportOptions, outputs: tuple[str, ...]) -> _axes.Axes:
    wanted = _axes.wanted(inputs, options.dynamic, outputs)
    return _axes.probe(wanted, run, must=options.dynamic is True or isinstance(options.dynamic, Mapping))


def _name_values(graph: ir.Model, inputs: Inputs, outputs: tuple[str, ...], answers: Mapping[str, Any]) -> None:
    """Names and axes as the source has them; paddle2onnx numbers its dimensions."""
    import onnx_ir as ir

    by_name = {s.name: s for s in inputs.specs}
    for value in graph.graph.inputs:
        value.shape = ir.Shape(by_name[str(value.name)].shape)
    sizes = {size: axis for axis, size in inputs.sizes.items()}
    for value, name in zip(graph.graph.outputs, outputs, strict=True):
        dims = [d if isinstance(d, int) else None for d in value.shape or ()]
        shape = answers[name].shape
        open_axes = dims if len(dims) == len(shape) else [None] * len(shape)
        value.shape = ir.Shape([d if d is not None else sizes.get(n) for d, n in zip(open_axes, shape, strict=True)])
        if not value.is_graph_input():
            value.name = name


def _layer_code(layer: Any, inputs: Inputs, options: ExportOptions) -> str:
    specs = [
        f'    paddle.static.InputSpec({[d if isinstance(d, int) else None for d in s.shape]}, "{s.dtype}", "{s.name}"),'
        for s in inputs.specs
    ]
    lines = [
        "import paddle",
        "",
        f"net = ...  # the {type(layer).__name__}, in eval mode: net.eval()",
        "specs = [",
        *specs,
        "]",
        f'paddle.onnx.export(net, "model", input_spec=specs, opset_version={options.opset_wanted})  # model.onnx',
    ]
    return "\n".join(lines)


def _require(options: ExportOptions) -> None:
    import importlib.util

    for library in ("paddle", "paddle2onnx"):
        if importlib.util.find_spec(library) is None:
            raise missing(library, "paddle")
    refuse_pytorch_options(options, "Paddle")
    if options.opset_wanted not in OPSETS:
        raise BadInput(f"opset={options.opset}", accepted=f"{OPSETS.start} to {OPSETS.stop - 1} with paddle2onnx")

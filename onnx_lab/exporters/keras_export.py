"""Keras on the torch backend: a live model, a ``.keras`` or an ``.h5`` file -> Model, without TensorFlow.

PyTorch's exporters write the graph, with the model's layers as scopes. Keras computes channels last and torch
channels first, so the graph arrives with two Transposes around each convolution and its bias behind; onnxruntime's
basic optimizations, which hold on any machine, take them away (`_portable`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnx_lab._metadata import strip_stack_traces
from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput, ExportError
from onnx_lab.exporters import _axes, _keras_files, _portable
from onnx_lab.exporters._converted import Original, finish
from onnx_lab.exporters._identity import folder_identity, value_identity
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters._torch_attempts import first_that_works
from onnx_lab.exporters._torch_source import TorchSource
from onnx_lab.exporters._torch_write import CHATTER
from onnx_lab.feeds import random_feeds
from onnx_lab.model import Model, TensorSpec
from onnx_lab.produce import Made, produce
from onnx_lab.runtime.keras_models import backend, input_names, structure_names, without_tensorflow

TOOLS = ("onnx-lab", "keras", "torch", "onnxscript", "onnx-ir", "onnx", "onnxruntime", "onnxruntime-gpu")
_LOUD = (*CHATTER, "absl", "keras")
#: Sizes tried for an axis that the model leaves open: each kind's smallest first.
_SIZES = {"pixels": (64, 128, 224, 299), "other": (16, 64)}


def export_model(model: Any, example: Any, options: ExportOptions, name: str | None) -> Model:
    """Export a live model; see `onnx_lab.export`."""
    if backend() == "tensorflow":
        from onnx_lab.exporters.tensorflow_export import export_keras

        return export_keras(model, example, options, name)
    if (found := backend()) != "torch":
        raise BadInput(
            f"a Keras model on the {found} backend",
            accepted="Keras on the torch or the tensorflow backend",
            do="model.save('x.keras'), restart with KERAS_BACKEND=torch, then lab.export('x.keras')",
        )
    kind = model.name if type(model).__module__.startswith("keras.") else type(model).__name__
    return produce(
        "export",
        options.as_json(kind),
        lambda: _made(model, example, options, (), "model = ...  # the Keras model, on the torch backend"),
        tools=TOOLS,
        name=name or kind,
        cache_key=_identity(model, example),
    )


def export_file(path: Path, example: Any, options: ExportOptions, name: str | None) -> Model:
    """Export a ``.keras`` or ``.h5`` file; the optimizer's state stays behind.

    Raises
    ------
    BadInput
        When the file is no Keras model, holds weights only, or needs code that is not in it.
    """
    _keras_files.check(path)

    def body() -> Made:
        model = _keras_files.load(path)
        code = f'model = keras.saving.load_model("{path.name}", compile=False)'
        return _made(model, example, options, _keras_files.sentences(path), code)

    identity = value_identity(folder_identity([path]), example)
    return produce("export", options.as_json(path.name), body, tools=TOOLS, name=name or path.stem, cache_key=identity)


def _made(model: Any, example: Any, options: ExportOptions, said: Sequence[str], loading: str) -> Made:
    with quiet(*_LOUD), without_tensorflow():
        source, inputs = _source(model, example)
        wanted = _axes.wanted(inputs, options.dynamic, source.output_names)
        must = options.dynamic not in (None, False)
        axes = _axes.probe(wanted, replace(source, inputs=wanted).run, must=must)
        plain = replace(options, input_names=None, output_names=None, dynamic=None, check=False)
        try:
            done = first_that_works(replace(source, inputs=axes.inputs), axes, plain, must=must)
        except ExportError as e:
            raise type(e)(e.came.replace("KerasAsTorch", model.name), accepted=e.accepted, do=e.do) from e
        graph = done.written.graph
        strip_stack_traces(graph)
        notes = [*said, *done.axes.said, *done.written.said]
        if options.constant_folding:
            graph, sentence = _portable.tidied(graph)
            notes.append(sentence)
        final = replace(source, inputs=done.axes.inputs)
        original = Original("Keras", final.inputs, lambda feeds: list(final.run(feeds).values()), final.output_names)
        return finish(graph, original, done.axes.tests, options, code=_code(final, loading, options), said=notes)


def _source(model: Any, example: Any) -> tuple[TorchSource, Inputs]:
    """The model as a torch source, and its inputs under the names that they will have, with axes named."""
    import keras

    from onnx_lab.runtime._keras_module import KerasAsTorch

    if example is not None:
        flat = [np.asarray(t.detach().cpu() if hasattr(t, "detach") else t) for t in keras.tree.flatten(example)]
        tries: Iterator[list[Any]] = iter([flat])
    else:
        tries = _guesses(model)
    refusal: Exception | None = None
    for arrays in tries:
        structure = None if _inputs_of(model) else example
        module = KerasAsTorch(model, structure)
        try:
            return _named(module, model, arrays, example)
        except Exception as e:  # a model may refuse a size for any reason of its own
            refusal = e
    raise BadInput(
        f"{model.name} does not run on {'the example' if example is not None else 'any size that was tried'}: "
        f"{type(refusal).__name__}: {(str(refusal).strip().splitlines() or [''])[0][:200]}",
        accepted="one batch that the model takes",
        do="lab.export(model, example=batch); try it: model(batch)",
    ) from refusal


def _named(module: Any, model: Any, arrays: list[Any], example: Any) -> tuple[TorchSource, Inputs]:
    import torch

    given = _inputs_of(model)
    names = input_names(model) if given else structure_names(example, len(arrays))
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)
    source = TorchSource.of(module, tensors, {}).with_outputs_named()
    source = replace(source, inputs=source.inputs.renamed(dict(zip(source.inputs.names, names, strict=True))))
    shapes = [tuple(t.shape) for t in given] if given else [(None, *a.shape[1:]) for a in arrays]
    specs = tuple(
        replace(spec, shape=_axis_names(shape, spec.shape, i))
        for i, (spec, shape) in enumerate(zip(source.inputs.specs, shapes, strict=True))
    )
    ids = {s.name: _ids_below(model) for s in specs if "int" in s.dtype}
    return source, replace(source.inputs, specs=specs, ids_below=ids)


def _inputs_of(model: Any) -> list[Any]:
    """The symbolic inputs; none for a subclassed model, or a Sequential that was never called."""
    try:
        return list(model.inputs or ())
    except (AttributeError, ValueError):
        return []


def _guesses(model: Any) -> Iterator[list[Any]]:
    """Arrays that fit the declared inputs; several sizes where one is open."""
    inputs = _inputs_of(model)
    if not inputs:
        raise BadInput(
            f"{model.name} ({type(model).__name__}) declares no inputs",
            accepted="a functional or Sequential model with an Input, or example=",
            do="lab.export(model, example=one_batch)",
        )
    is_open = any(d is None for t in inputs for d in t.shape[1:])
    pixels = any(len(t.shape) == 4 for t in inputs)
    for size in _SIZES["pixels" if pixels else "other"] if is_open else (0,):
        specs = [
            TensorSpec(f"input_{i}", t.dtype, (t.shape[0] or 2, *(d or size for d in t.shape[1:])))
            for i, t in enumerate(inputs)
        ]
        made = random_feeds(specs, ids_below={s.name: _ids_below(model) for s in specs})
        yield [made[s.name] for s in specs]


def _axis_names(declared: Sequence[int | None], found: Sequence[Any], index: int) -> tuple[int | str | None, ...]:
    """Axis 0 is the batch, also where it was declared fixed: whether it must be is asked of the model."""
    open_axes = {4: {1: "height", 2: "width"}, 3: {1: "sequence"}, 2: {1: "sequence"}}.get(len(declared), {})
    named: list[int | str | None] = ["batch"] if declared else []
    for axis, size in enumerate(declared[1:], 1):
        named.append(open_axes.get(axis, f"dim_{index}_{axis}") if size is None else found[axis])
    return tuple(named)


def _ids_below(model: Any) -> int:
    """Rows of the smallest embedding: every whole number below is an id."""
    rows = [layer.input_dim for layer in model._flatten_layers() if hasattr(layer, "input_dim")]
    return int(min(rows, default=100))


def _identity(model: Any, example: Any) -> str | None:
    """What decides the answers: the config, the weights, and the code of classes that are not Keras's."""
    try:
        with without_tensorflow():
            config = model.to_json()
    except Exception:  # a subclassed model need not have a config: then it is not cached
        return None
    layers = list(model._flatten_layers())
    own = [type(layer) for layer in layers if not type(layer).__module__.startswith("keras.")]
    return value_identity(config, [v.value for v in model.variables], own, example)


def _code(source: TorchSource, loading: str, options: ExportOptions) -> str:
    """The plain keras, torch and onnxruntime code of this export."""
    specs = source.inputs.specs
    shapes = [tuple(source.inputs.example[s.name].shape) for s in specs]
    tensors = ", ".join(f"torch.zeros({shape}, dtype=torch.{s.dtype})" for s, shape in zip(specs, shapes, strict=True))
    axes = tuple({i: d for i, d in enumerate(s.shape) if isinstance(d, str)} for s in specs)
    call = "inputs[0]" if len(specs) == 1 else "list(inputs)"
    names = list(options.input_names or source.inputs.names), list(options.output_names or source.output_names)
    return "\n".join(
        [
            "import os",
            'os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported',
            "import keras, onnxruntime, torch",
            "",
            loading,
            "",
            "class Net(torch.nn.Module):",
            "    def forward(self, *inputs):",
            f"        return model({call}, training=False)",
            "",
            f"example = ({tensors},)",
            "with torch.no_grad():",
            "    program = torch.onnx.export(",
            f"        Net().eval(), example, dynamo={options.exporter == 'dynamo'}, input_names={names[0]},",
            f"        output_names={names[1]}, dynamic_shapes={{'inputs': {axes}}},",
            f"        opset_version={options.opset_wanted},",
            "    )",
            'program.save("raw.onnx")',
            "# the lab also moves each bias and batch mean into the convolution before it: some Adds less",
            "options = onnxruntime.SessionOptions()",
            "options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC",
            'options.optimized_model_filepath = "model.onnx"',
            'onnxruntime.InferenceSession("raw.onnx", options, providers=["CPUExecutionProvider"])',
        ]
    )

"""TensorFlow: a SavedModel, a Keras model on TensorFlow, a ``tf.Module`` or ``tf.function`` -> Model, by tf2onnx.

TensorFlow runs in a child process: it converts there, and answers the feeds of the check. What is alive in the user's
process is first saved there as a SavedModel.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnx_lab import workspace
from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput, ExportError
from onnx_lab.exporters import _axes, _portable
from onnx_lab.exporters._converted import Original, finish, refuse_pytorch_options
from onnx_lab.exporters._identity import folder_identity
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.feeds import random_feeds
from onnx_lab.model import Model, TensorSpec
from onnx_lab.produce import Made, produce
from onnx_lab.runtime.client import Worker

TOOLS = ("onnx-lab", "tensorflow", "tf2onnx", "onnx-ir", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu")
#: The newest opset that tf2onnx writes; newer ones are converted to.
_NEWEST = 18
_SIZES = (64, 128, 224)
_AXES = {4: {1: "height", 2: "width"}, 3: {1: "sequence"}, 2: {1: "sequence"}}


def export_saved_model(folder: Path, example: Any, options: ExportOptions, name: str | None) -> Model:
    """Export a SavedModel folder; see `onnx_lab.export`."""
    return _export(folder, folder.name, example, options, name)


def export_keras(model: Any, example: Any, options: ExportOptions, name: str | None) -> Model:
    """Export a live Keras model whose backend is TensorFlow."""
    return _saved(lambda folder: model.export(folder, verbose=False), model.name, example, options, name)


def export_object(obj: Any, example: Any, options: ExportOptions, name: str | None) -> Model:
    """Export a ``tf.Module`` or ``tf.function``; its shapes come from its signature, else from the example.

    Raises
    ------
    BadInput
        For other objects, and without signature and example.
    """
    tf = sys.modules["tensorflow"]
    function = obj if hasattr(obj, "get_concrete_function") or hasattr(obj, "structured_outputs") else None
    if function is None and isinstance(obj, tf.Module):
        function = getattr(obj, "__call__", None)  # noqa: B004  (the tf.function itself is wanted)
    if function is None:
        raise BadInput(f"a {type(obj).__name__} of TensorFlow", accepted="a SavedModel folder, tf.Module, tf.function")
    module = obj if isinstance(obj, tf.Module) else tf.Module()
    if module is not obj:
        module.function = function
    kind = type(obj).__name__ if module is obj else str(getattr(function, "__name__", "function"))
    signature = _concrete(tf, function, example)
    return _saved(lambda folder: tf.saved_model.save(module, folder, signatures=signature), kind, None, options, name)


def _concrete(tf: Any, function: Any, example: Any) -> Any:
    """The function with fixed dtypes and a free batch axis."""
    if hasattr(function, "structured_outputs"):
        return function
    wrapped = function if hasattr(function, "get_concrete_function") else tf.function(function)
    if getattr(wrapped, "input_signature", None) is not None:
        return wrapped.get_concrete_function()
    if example is None:
        raise BadInput(
            f"{getattr(function, '__name__', 'the function')} has no input_signature",
            accepted="@tf.function(input_signature=[tf.TensorSpec(...)]), or example=",
        )
    arrays = list(example) if isinstance(example, (tuple, list)) else [example]
    specs = [tf.TensorSpec([None, *np.shape(a)[1:]], tf.as_dtype(np.asarray(a).dtype)) for a in arrays]
    return wrapped.get_concrete_function(*specs)


def _saved(save: Callable[[str], Any], kind: str, example: Any, options: ExportOptions, name: str | None) -> Model:
    with workspace.scratch() as scratch:
        folder = scratch / kind
        with quiet("tensorflow", "absl", descriptors=True):
            try:
                save(str(folder))
            except Exception as e:
                raise ExportError(f"{kind} cannot be saved as a SavedModel: {type(e).__name__}: {str(e)[:300]}") from e
        return _export(folder, kind, example, options, name)


def _export(folder: Path, kind: str, example: Any, options: ExportOptions, name: str | None) -> Model:
    refuse_pytorch_options(options, "TensorFlow")
    files = [f for f in folder.rglob("*") if f.is_file() and f.name != "fingerprint.pb"]
    return produce(
        "export",
        options.as_json(kind),
        lambda: _made(folder, example, options),
        tools=TOOLS,
        name=name or kind,
        cache_key=folder_identity(files) if example is None else None,
    )


def _made(folder: Path, example: Any, options: ExportOptions) -> Made:
    with Worker.for_tensorflow(str(folder)) as worker:
        info = worker.info
        said = [f"signature {info['signature']!r} of {', '.join(info['signatures'])}"] * (len(info["signatures"]) > 1)
        inputs = _inputs(info, example)
        wanted = _axes.wanted(inputs, options.dynamic, info["outputs"])
        freed = _freed(info, wanted)
        if freed:
            worker.call({"op": "relax", "shapes": _shapes(wanted)}, "freeing the batch axis")
        axes = _axes.probe(wanted, worker.run, must=options.dynamic not in (None, False))
        said += [f"{where}: made dynamic, the model takes other sizes" for where in freed if "batch" in axes.tests]
        if set(_shapes(axes.inputs).items()) != set(_shapes(wanted).items()):
            worker.call({"op": "relax", "shapes": _shapes(axes.inputs)}, "fixing axes")
        graph = _converted(worker, axes.inputs, options)
        graph, sentence = _portable.tidied(graph)
        original = Original("TensorFlow", axes.inputs, _caller(worker), tuple(info["outputs"]))
        notes = [*said, *axes.said, sentence]
        return finish(graph, original, axes.tests, options, code=_code(folder, options), said=notes)


def _caller(worker: Worker) -> Callable[[Mapping[str, Any]], list[Any]]:
    names = list(worker.info["outputs"])
    return lambda feeds: [worker.run(dict(feeds))[n] for n in names]


def _shapes(inputs: Inputs) -> dict[str, tuple[int | None, ...]]:
    return {s.name: tuple(None if isinstance(d, str) else d for d in s.shape) for s in inputs.specs}


def _freed(info: Mapping[str, Any], inputs: Inputs) -> list[str]:
    """Inputs whose batch axis came out fixed, or whose rank is unknown, in words."""
    found = []
    for (name, _, dims), spec in zip(info["inputs"], inputs.specs, strict=True):
        if dims is None:
            found.append(f"{name!r} came without a shape")
        elif dims and dims[0] is not None and spec.shape[0] == "batch":
            found.append(f"the batch axis of {name!r} came out fixed at {dims[0]}")
    return found


def _inputs(info: Mapping[str, Any], example: Any) -> Inputs:
    """Specs with names on the axes that may be dynamic, and an example."""
    given = _by_name([n for n, *_ in info["inputs"]], example)
    specs, sizes = [], []
    for i, (name, dtype, dims) in enumerate(info["inputs"]):
        if dims is None and name not in given:
            raise BadInput(f"input {name!r} has no shape", accepted="example=, one batch that the model takes")
        found = list(given[name].shape) if name in given else [d or 0 for d in dims]
        declared = dims if dims is not None else [None, *found[1:]]
        open_axes = _AXES.get(len(declared), {})
        named = [open_axes.get(a, f"dim_{i}_{a}") if d is None else d for a, d in enumerate(declared)]
        shape = ("batch", *named[1:]) if named else ()
        specs.append(TensorSpec(name, _numpy_dtype(dtype), shape))
        sizes.append([size or (2 if a == 0 else _SIZES[0]) for a, size in enumerate(found)])
    fixed = [replace(s, shape=tuple(size)) for s, size in zip(specs, sizes, strict=True)]
    return Inputs(tuple(specs), {**random_feeds(fixed), **given})


def _by_name(names: list[str], example: Any) -> dict[str, Any]:
    if example is None:
        return {}
    if isinstance(example, Mapping):
        return {k: np.asarray(v) for k, v in example.items()}
    arrays = list(example) if isinstance(example, (tuple, list)) else [example]
    if len(arrays) != len(names):
        raise BadInput(f"an example of {len(arrays)} arrays", accepted=f"one for each of {', '.join(names)}")
    return {n: np.asarray(a) for n, a in zip(names, arrays, strict=True)}


def _numpy_dtype(name: str) -> str:
    return {"string": "string", "bfloat16": "float32"}.get(name, name)


def _converted(worker: Worker, inputs: Inputs, options: ExportOptions) -> Any:
    """tf2onnx's graph under the SavedModel's names, in the opset asked for."""
    import onnx_ir as ir

    opset = min(options.opset_wanted, _NEWEST)
    with workspace.scratch() as scratch:
        request = {"out": str(scratch / "converted.onnx"), "opset": opset}
        worker.call({"op": "convert", "convert": request}, "converting with tf2onnx")
        graph = ir.load(scratch / "converted.onnx")
        ir.external_data.load_to_model(graph)  # the scratch folder goes
    for value, spec in zip(graph.graph.inputs, inputs.specs, strict=True):
        value.name, value.shape = spec.name, ir.Shape(spec.shape)
    for value, name in zip(graph.graph.outputs, worker.info["outputs"], strict=True):
        value.name = name
        if value.shape is not None and len(value.shape) and not isinstance(value.shape[0], int):
            value.shape = ir.Shape(["batch" if a == 0 else d for a, d in enumerate(value.shape)])
    return _in_opset(graph, options.opset_wanted)


def _in_opset(graph: Any, wanted: int) -> Any:
    from onnxscript import version_converter

    if wanted > _NEWEST:
        with quiet("onnxscript", "onnx_ir"):
            version_converter.convert_version(graph, wanted)
    if (written := graph.opset_imports.get("")) != wanted:
        raise ExportError(f"opset {wanted} was asked for, and tf2onnx writes {written}", do=f"opset={written}")
    return graph


def _code(folder: Path, options: ExportOptions) -> str:
    """The shell command and the lines after it that this export amounts to."""
    opset = min(options.opset_wanted, _NEWEST)
    lines = [
        f"# python -m tf2onnx.convert --saved-model {folder.name} --opset {opset} --output raw.onnx",
        "import onnx, onnx.version_converter, onnxruntime",
        "",
        f'onnx.save(onnx.version_converter.convert_version(onnx.load("raw.onnx"), {options.opset_wanted}), "new.onnx")',
        "options = onnxruntime.SessionOptions()",
        "options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC",
        'options.optimized_model_filepath = "model.onnx"',
        'onnxruntime.InferenceSession("new.onnx", options, providers=["CPUExecutionProvider"])',
    ]
    return "\n".join(lines)

"""PyTorch: any ``torch.nn.Module`` -> Model, with inputs and dynamic axes found by itself and the answers checked.

The dynamo exporter goes first. An axis that torch.export finds to be fixed is given up, with a note; anything else
that it cannot do goes to the TorchScript exporter, with a note that says why. Never silently: a branch on the values
of a tensor is an error, because a trace would hide it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onnx_lab._metadata import strip_stack_traces
from onnx_lab._progress import tell
from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput, ExportError, missing
from onnx_lab.exporters import _axes, _preprocessing
from onnx_lab.exporters._identity import module_identity
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters._torch_attempts import first_that_works
from onnx_lab.exporters._torch_example import from_example
from onnx_lab.exporters._torch_guess import guess
from onnx_lab.exporters._torch_source import TorchSource
from onnx_lab.exporters._torch_write import CHATTER, UNBOUNDED
from onnx_lab.exporters.explain import Place, place_of
from onnx_lab.model import Model
from onnx_lab.produce import Made, produce

if TYPE_CHECKING:
    import torch

#: Their versions are part of the cache key.
TOOLS = ("onnx-lab", "torch", "onnxscript", "onnx-ir", "onnx", "transformers")


def export_module(module: torch.nn.Module, example: Any, options: ExportOptions, name: str) -> Model:
    """Export a plain module; see `onnx_lab.export`."""
    kind = type(module).__name__
    if example is None:
        example = getattr(module, "example_input_array", None)  # Lightning's own word for it

    def body() -> Made:
        with quiet(*CHATTER):
            source = guess(module) if example is None else from_example(module, example)
        said = [] if example is not None else [f"inputs found by running the module: {_specs(source.inputs)}"]
        return make(source, options, said)

    return produce(
        "export",
        options.as_json(kind),
        body,
        tools=TOOLS,
        name=name,
        cache_key=module_identity(module, example),
    )


def make(
    source: TorchSource, options: ExportOptions, said: Sequence[str] = (), metadata: Mapping[str, str] | None = None
) -> Made:
    """Export `source`, check it, and say what happened.

    Parameters
    ----------
    source : TorchSource
        With names on all axes that may become dynamic.
    options : ExportOptions
    said : sequence of str
        Sentences for the card that are known already.
    metadata : mapping, optional
        For the file.

    Raises
    ------
    BadInput, ExportError, UnsupportedOperator, ParityError
    """
    with quiet(*CHATTER):
        _check_types(source, options)
        source = _named(source, options)
        wanted = _axes.wanted(source.inputs, options.dynamic, source.output_names)
        must = options.dynamic is True or isinstance(options.dynamic, Mapping)
        tell({"kind": "step", "state": "trying which axes may be dynamic"})
        axes = _axes.probe(wanted, source.run, must=must)
        tell({"kind": "step", "state": "writing the graph and comparing its answers"})
        done = first_that_works(source, axes, options, must=must)
    strip_stack_traces(done.written.graph)
    axes, checked = done.axes, dict(done.checked)
    say = [*checked.pop("say"), *said, *axes.said, *done.written.said, *_bound_sentences(done.written.bounds)]
    say += _preprocessing.sentences(done.written.graph)
    shapes = [list(axes.inputs.example[s.name].shape) for s in axes.inputs.specs]
    call = {
        "inputs": [[s.name, s.dtype, list(s.shape), n] for s, n in zip(axes.inputs.specs, shapes, strict=True)],
        "outputs": list(source.output_names),
    }
    notes = {"say": say, "parity": checked, "call": call, "exporter": done.written.exporter}
    return Made(done.written.graph, notes, {**(metadata or {}), **options.metadata})


def _check_types(source: TorchSource, options: ExportOptions) -> None:
    """Say early what would fail late, with an operator's name."""
    types = {str(t.dtype) for t in source.module.parameters()}
    if options.check and "torch.bfloat16" in types:
        raise BadInput(
            f"{type(source.module).__name__} has weights in bfloat16, which ONNX Runtime does not compute on a CPU",
            accepted="float32, float16 or float64",
            do="lab.export(net.float()), and lab.fp16(m) for a file of half the size; check=False exports it as it is",
        )


def _named(source: TorchSource, options: ExportOptions) -> TorchSource:
    """Inputs and outputs under the caller's names, where given."""
    names = options.input_names
    if names is not None:
        if len(names) != len(source.inputs.names):
            raise BadInput(
                f"{len(names)} input_names",
                accepted=f"{len(source.inputs.names)} names, for {', '.join(source.inputs.names)}",
                do="name them all",
            )
        source = replace(source, inputs=source.inputs.renamed(dict(zip(source.inputs.names, names, strict=True))))
    try:
        return source.with_outputs_named(options.output_names)
    except (BadInput, ExportError):
        raise
    except Exception as e:
        place = place_of(e)
        raise BadInput(
            f"{type(source.module).__name__} does not run on the example: {type(e).__name__}: {e}" + _at(place),
            accepted="one batch that the module takes",
            do="try it: net(*example)",
        ) from e


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """The module inside ``torch.compile`` and ``DataParallel``."""
    try:
        import torch
    except ImportError:
        raise missing("torch", "torch") from None
    if isinstance(module, torch.jit.ScriptModule):
        raise BadInput(
            f"{getattr(module, 'original_name', 'the module')} is compiled to TorchScript",
            accepted="a torch.nn.Module in Python",
            do="export the module that it was made from",
        )
    while True:
        if isinstance(module, torch.nn.DataParallel):
            module = module.module
        elif hasattr(module, "_orig_mod"):
            module = module._orig_mod
        else:
            return module


def _bound_sentences(bounds: Mapping[str, tuple[int, int]]) -> list[str]:
    said = []
    for axis, (low, high) in bounds.items():
        text = [f"at least {low}"] * (low > 2) + [f"at most {high}"] * (high < UNBOUNDED)
        said.append(f"{axis} must be {' and '.join(text)}: outside, the module's code goes another way")
    return said


def _at(place: Place | None) -> str:
    return f" ({place.short})" if place else ""


def _specs(inputs: Inputs) -> str:
    shapes = {n: tuple(v.shape) for n, v in inputs.example.items()}
    return ", ".join(f"{s.name} {s.dtype} {shapes[s.name]}" for s in inputs.specs)

"""A Paddle model as a function from feeds to arrays: a live layer, or Paddle's own engine on saved files."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters._torch_example import with_axis_names
from onnx_lab.exporters.parity import Array
from onnx_lab.model import TensorSpec
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class LayerSource:
    """A layer called with one tensor for each parameter that has an input."""

    layer: Any
    inputs: Inputs
    output_names: tuple[str, ...]

    @classmethod
    def of(cls, layer: Any, example: Any) -> LayerSource:
        """The source for the caller's example.

        Raises
        ------
        BadInput
            Without an example, or with one that the layer does not take.
        """
        kind = type(layer).__name__
        if example is None:
            raise BadInput(
                f"no inputs for {kind}",
                accepted="one batch as example=",
                do="lab.export(layer, example=paddle.randn(...))",
            )
        feeds = _by_parameter(layer, example)
        specs = tuple(TensorSpec(k, str(v.dtype), tuple(v.shape)) for k, v in feeds.items())
        inputs = with_axis_names(Inputs(specs, feeds, samples=dict(feeds)))
        try:
            named = _named(_run(layer, feeds))
        except Exception as e:
            first = (str(e).strip().splitlines() or [""])[-1][:300]
            raise BadInput(
                f"{kind} does not run on the example: {type(e).__name__}: {first}",
                accepted="one batch that the layer takes",
                do="try it: layer(*example)",
            ) from e
        return cls(layer, inputs, tuple(named))

    def __call__(self, feeds: Feeds) -> list[Array]:
        """The layer's outputs, in order."""
        return list(_named(_run(self.layer, feeds)).values())

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """The layer's outputs by name."""
        return dict(zip(self.output_names, self(feeds), strict=True))


@dataclass(frozen=True)
class SavedSource:
    """Files of a saved program, run by ``paddle.inference``: no pickle is read, and nothing is optimized."""

    program: Path
    input_names: tuple[str, ...]
    output_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, program: Path) -> SavedSource:
        """The source for these files."""
        with quiet("paddle", descriptors=True):
            return cls(program, tuple(_predictor(program).get_input_names()))

    @cached_property
    def _engine(self) -> Any:
        return _predictor(self.program)

    def __call__(self, feeds: Feeds) -> list[Array]:
        """The program's outputs, in order."""
        with quiet("paddle", descriptors=True):
            for name in self.input_names:
                self._engine.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(feeds[name]))
            self._engine.run()
            return [self._engine.get_output_handle(n).copy_to_cpu() for n in self._engine.get_output_names()]

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """The program's outputs by the names they have in the file."""
        return dict(zip(self.output_names, self(feeds), strict=True))


def saved_specs(graph: ir.Model) -> tuple[TensorSpec, ...]:
    """What a converted program takes; open axes get names by their place."""
    specs = []
    for value in graph.graph.inputs:
        name, dtype = str(value.name), str(np.dtype(value.dtype.numpy())) if value.dtype else "float32"
        whole = np.dtype(dtype).kind in "iu"
        usual = {0: "batch", **({1: "sequence"} if whole and len(value.shape or ()) == 2 else {})}
        shape = [
            d if isinstance(d, int) and d > 0 else usual.get(i, f"{name}_{i}") for i, d in enumerate(value.shape or ())
        ]
        specs.append(TensorSpec(name, dtype, tuple(shape)))
    return tuple(specs)


@contextlib.contextmanager
def as_it_was(layer: Any) -> Iterator[None]:
    """Eval mode; afterwards each part's training flag is what it was."""
    flags = [(part, part.training) for part in layer.sublayers(include_self=True)]
    try:
        for part, _ in flags:
            part.training = False
        yield
    finally:
        for part, flag in flags:
            part.training = flag


def _run(layer: Any, feeds: Feeds) -> Any:
    import paddle

    with quiet("paddle", descriptors=True), as_it_was(layer), paddle.no_grad():
        return layer(**{k: paddle.to_tensor(v) for k, v in feeds.items()})


def _named(result: Any, prefix: str = "") -> dict[str, Array]:
    """Tensors of a result by the keys on their way."""
    if hasattr(result, "numpy"):
        return {prefix or "output": np.array(result.numpy())}
    parts = sorted(result.items()) if isinstance(result, Mapping) else enumerate(result) if _is_row(result) else ()
    found: dict[str, Array] = {}
    for key, part in parts:
        own = f"{prefix}_{key}" if prefix else (f"output_{key}" if isinstance(key, int) else str(key))
        found.update(_named(part, own))
    return found


def _is_row(result: Any) -> bool:
    return isinstance(result, (tuple, list))


def _by_parameter(layer: Any, example: Any) -> Feeds:
    """The example's arrays by the names of the layer's parameters."""
    names = [p.name for p in inspect.signature(layer.forward).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if not isinstance(example, Mapping):
        values = list(example) if isinstance(example, (tuple, list)) else [example]
        if len(values) > len(names):
            raise BadInput(
                f"{len(values)} inputs", accepted=f"the parameters {', '.join(names)}", do="example=(x, ...)"
            )
        example = dict(zip(names, values, strict=False))
    return {str(k): np.array(v.numpy() if hasattr(v, "numpy") else v) for k, v in example.items()}


def _predictor(program: Path) -> Any:
    import paddle.inference as engine

    weights = program.with_suffix(".pdiparams")
    config = engine.Config(str(program), str(weights) if weights.is_file() else "")
    config.disable_glog_info()
    config.disable_gpu()
    config.switch_ir_optim(False)
    return engine.create_predictor(config)

"""The caller's own example: how it is given to ``forward``, and which of its axes are probably batch and sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab.exporters._inputs import Inputs, Padding
from onnx_lab.exporters._torch_source import TorchSource, parameters_of

if TYPE_CHECKING:
    import torch


def from_example(module: torch.nn.Module, example: Any) -> TorchSource:
    """The source for the caller's own example; batch and sequence axes are named by what the tensors have in common."""
    args, kwargs = _call(module, example)
    source = TorchSource.of(module, args, kwargs)
    inputs = with_axis_names(source.inputs)
    masks = _masks(inputs)
    samples = {k: v for k, v in inputs.example.items() if k not in masks}
    return replace(source, inputs=replace(inputs, samples=samples, padding=masks))


def _masks(inputs: Inputs) -> dict[str, Padding]:
    """Inputs that are named as masks and hold only 0 and 1 for each position; what most of it holds is kept."""
    found = {}
    for spec in inputs.specs:
        values = inputs.example[spec.name]
        if "mask" in spec.name.lower() and spec.shape[1:] == ("sequence",) and np.isin(values, (0, 1)).all():
            found[spec.name] = Padding(keep=int(values.mean() >= 0.5))
    return found


def _call(module: torch.nn.Module, example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The example as positional and keyword arguments, arrays as tensors."""
    if isinstance(example, Mapping):
        parameters = parameters_of(module)
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if takes_all or all(k in parameters for k in example):
            return (), {k: _tensors(v) for k, v in example.items()}
        return (_tensors(example),), {}
    if isinstance(example, (tuple, list)):
        return tuple(_tensors(v) for v in example), {}
    return (_tensors(example),), {}


def _tensors(value: Any) -> Any:
    import torch

    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, Mapping):
        return {k: _tensors(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(_tensors(v) for v in value)
    return value


def with_axis_names(inputs: Inputs) -> Inputs:
    """Name axis 0 ``batch`` where it has the first input's size; axis 1 ``sequence`` where it has the ids' length."""
    shaped = [s for s in inputs.specs if s.shape]
    batch = shaped[0].shape[0] if shaped else None
    ids = [s for s in shaped if s.dtype in ("int64", "int32", "bool") and len(s.shape) == 2]
    length = ids[0].shape[1] if ids else None
    specs = []
    for s in inputs.specs:
        shape = list(s.shape)
        if shape and shape[0] == batch:
            shape[0] = "batch"
        if len(shape) > 1 and shape[1] == length and (s in ids or "mask" in s.name.lower()):
            shape[1] = "sequence"
        specs.append(replace(s, shape=tuple(shape)))
    return replace(inputs, specs=tuple(specs))

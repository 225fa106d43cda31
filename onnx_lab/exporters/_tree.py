"""Tensors inside nested arguments and results: their names, and putting others in their place.

A forward may take ``(x, {"mask": m})`` and return a ModelOutput; an ONNX file knows a flat list of named tensors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def named_tensors(value: Any, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Each tensor with a name made of the keys on its way; what is no tensor is passed over.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(1)
    >>> [name for name, _ in named_tensors({"a": x, "b": (x, None, [x])}, "")]
    ['a', 'b_0', 'b_2_0']
    """
    import torch

    if isinstance(value, torch.Tensor):
        yield prefix, value
        return
    for key, part in _parts(value):
        yield from named_tensors(part, f"{prefix}_{key}" if prefix else key)


def filled(value: Any, tensors: Iterator[torch.Tensor]) -> Any:
    """`value` with its tensors replaced, in the order of `named_tensors`, by the next ones of `tensors`."""
    import torch

    if isinstance(value, torch.Tensor):
        return next(tensors)
    if isinstance(value, Mapping):
        return {k: filled(v, tensors) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(filled(v, tensors) for v in value))
    if isinstance(value, (tuple, list)):
        return type(value)(filled(v, tensors) for v in value)
    return value


def unique(names: list[str], taken: set[str]) -> list[str]:
    """`names` made different from each other and from `taken`, by a number at the end.

    Examples
    --------
    >>> unique(["x", "y", "y"], {"x"})
    ['x_1', 'y', 'y_1']
    """
    seen = set(taken)
    result = []
    for name in names:
        candidate, n = name, 0
        while candidate in seen:
            n += 1
            candidate = f"{name}_{n}"
        seen.add(candidate)
        result.append(candidate)
    return result


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):  # ModelOutput and BatchEncoding too
        yield from ((str(k), v) for k, v in value.items())
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif isinstance(value, (tuple, list)):
        yield from ((str(i), v) for i, v in enumerate(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))

"""Edits of a graph, one function each: ``lab.surgery.expose(m, "h1")``, or ``%onnx_edit m expose h1`` in a notebook.

>>> import onnx_lab as lab
>>> [s.name for s in lab.surgery.expose(lab.samples.tiny(), "h1").outputs]
['logits', 'h1']

Every edit takes a Model and returns a new one with its lineage. The ONNX checker and shape inference run after each,
and both files are run on random feeds where the original still takes them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx_lab.transforms.surgery.expose import expose as expose

#: Edit -> what it does, in a few words; each lives in ``onnx_lab/transforms/surgery/<edit>.py``.
EDITS: Mapping[str, str] = MappingProxyType(
    {
        "expose": "make a tensor inside the graph an output",
    }
)
__all__ = ["EDITS", *EDITS]


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in EDITS:
        raise AttributeError(f"module 'onnx_lab.surgery' has no edit {name!r}; it has: {', '.join(EDITS)}")
    found: Callable[..., Any] = getattr(importlib.import_module(f"onnx_lab.transforms.surgery.{name}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)

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
    from onnx_lab.transforms.surgery.dynamic import dynamic as dynamic
    from onnx_lab.transforms.surgery.expose import expose as expose
    from onnx_lab.transforms.surgery.set_batch import set_batch as set_batch
    from onnx_lab.transforms.surgery.static import static as static

#: Edit -> what it does, in a few words; each lives in ``onnx_lab/transforms/surgery/<edit>.py``.
EDITS: Mapping[str, str] = MappingProxyType(
    {
        "set_batch": "fix the batch at a size, from a dynamic one or from another",
        "dynamic": "make a fixed axis dynamic, proven at sizes the file never had",
        "static": "fix dynamic axes at sizes, by name or place",
        "extract": "take the part between named tensors",
        "rename": "rename inputs, outputs, inner tensors and nodes",
        "input_dtype": "feed an input another type, with a Cast behind it",
        "reorder": "put inputs and outputs in another order",
        "remove_output": "remove outputs and what only they needed",
        "expose": "make a tensor inside the graph an output",
        # nodes and patterns
        "set_attribute": "set or add an attribute of nodes",
        "delete_attribute": "delete an attribute of nodes",
        "remove_node": "remove nodes; their input goes to their consumers",
        "insert_node": "put a new node between a tensor and its consumers",
        "make_node": "make a node from scratch, its result a new output",
        "replace_op": "make nodes another operator with the same inputs",
    }
)
#: Edits that take or give more than one Model, or go back: no step of a Recipe.
NO_STEPS = frozenset({"merge", "split", "undo"})
__all__ = ["EDITS", *EDITS]


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in EDITS:
        raise AttributeError(f"module 'onnx_lab.surgery' has no edit {name!r}; it has: {', '.join(EDITS)}")
    found: Callable[..., Any] = getattr(importlib.import_module(f"onnx_lab.transforms.surgery.{name}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)

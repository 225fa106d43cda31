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
    from onnx_lab.transforms.surgery.add_input import add_input as add_input
    from onnx_lab.transforms.surgery.constant_if import constant_if as constant_if
    from onnx_lab.transforms.surgery.custom_to_function import custom_to_function as custom_to_function
    from onnx_lab.transforms.surgery.delete_attribute import delete_attribute as delete_attribute
    from onnx_lab.transforms.surgery.drop_dead import drop_dead as drop_dead
    from onnx_lab.transforms.surgery.dynamic import dynamic as dynamic
    from onnx_lab.transforms.surgery.expose import expose as expose
    from onnx_lab.transforms.surgery.external_data import external_data as external_data
    from onnx_lab.transforms.surgery.extract import extract as extract
    from onnx_lab.transforms.surgery.focus_to_conv import focus_to_conv as focus_to_conv
    from onnx_lab.transforms.surgery.fold_normalization import fold_normalization as fold_normalization
    from onnx_lab.transforms.surgery.inline_functions import inline_functions as inline_functions
    from onnx_lab.transforms.surgery.input_dtype import input_dtype as input_dtype
    from onnx_lab.transforms.surgery.insert_node import insert_node as insert_node
    from onnx_lab.transforms.surgery.make_node import make_node as make_node
    from onnx_lab.transforms.surgery.merge import merge as merge
    from onnx_lab.transforms.surgery.prelu_slope import prelu_slope as prelu_slope
    from onnx_lab.transforms.surgery.prelu_to_relu import prelu_to_relu as prelu_to_relu
    from onnx_lab.transforms.surgery.put_in_normalization import put_in_normalization as put_in_normalization
    from onnx_lab.transforms.surgery.remove_input import remove_input as remove_input
    from onnx_lab.transforms.surgery.remove_node import remove_node as remove_node
    from onnx_lab.transforms.surgery.remove_output import remove_output as remove_output
    from onnx_lab.transforms.surgery.rename import rename as rename
    from onnx_lab.transforms.surgery.reorder import reorder as reorder
    from onnx_lab.transforms.surgery.replace_op import replace_op as replace_op
    from onnx_lab.transforms.surgery.rewrite import rewrite as rewrite
    from onnx_lab.transforms.surgery.set_attribute import set_attribute as set_attribute
    from onnx_lab.transforms.surgery.set_batch import set_batch as set_batch
    from onnx_lab.transforms.surgery.set_opset import set_opset as set_opset
    from onnx_lab.transforms.surgery.set_weight import set_weight as set_weight
    from onnx_lab.transforms.surgery.split import split as split
    from onnx_lab.transforms.surgery.static import static as static
    from onnx_lab.transforms.surgery.strip_metadata import strip_metadata as strip_metadata
    from onnx_lab.transforms.surgery.take_out_normalization import take_out_normalization as take_out_normalization
    from onnx_lab.transforms.surgery.undo import undo as undo

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
        "remove_input": "remove an input, a constant in its place",
        "add_input": "make a weight, a constant or an inner tensor an input",
        "split": "cut a model in two at a tensor",
        "merge": "put a second model behind the first",
        "set_opset": "convert to another opset",
        "external_data": "put weights beside the file, or inside it",
        "strip_metadata": "take out what tells of where the file came from",
        "undo": "go back to the Model that a step began with",
        "expose": "make a tensor inside the graph an output",
        # nodes and patterns
        "set_attribute": "set or add an attribute of nodes",
        "delete_attribute": "delete an attribute of nodes",
        "remove_node": "remove nodes; their input goes to their consumers",
        "insert_node": "put a new node between a tensor and its consumers",
        "make_node": "make a node from scratch, its result a new output",
        "replace_op": "make nodes another operator with the same inputs",
        "prelu_slope": "reshape PRelu slopes to one per channel",
        "prelu_to_relu": "write PRelu as Relu, Neg, Mul and Add",
        "focus_to_conv": "write Focus slices as a convolution with stride 2",
        "custom_to_function": "give an operator of your own a body",
        "fold_normalization": "fold the input's normalization into the first convolution",
        "take_out_normalization": "take the input's normalization out of the graph",
        "put_in_normalization": "put an input's normalization into the graph",
        "rewrite": "rewrite patterns by your own onnxscript rules",
        "constant_if": "an If whose condition is known becomes its branch",
        "set_weight": "replace the numbers of a weight",
        "drop_dead": "drop what no output needs",
        "inline_functions": "replace calls of the model's functions by their nodes",
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

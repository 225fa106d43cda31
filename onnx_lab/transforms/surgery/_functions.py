"""A function for a graph, from whatever it was written in: onnxscript, plain Python made of it, ONNX, onnx_ir."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput

if TYPE_CHECKING:
    import onnx

_ACCEPTED = "an onnxscript function, a Python function made of onnxscript operators, an onnx.FunctionProto"


def function_proto(function: Any, version: int) -> onnx.FunctionProto:
    """The FunctionProto of a function; `version` is the opset of a Python function that names none.

    Raises
    ------
    BadInput
        For what is no function, or not made of operators.

    Examples
    --------
    >>> from onnx import helper
    >>> body = [helper.make_node("Neg", ["x"], ["y"])]
    >>> proto = helper.make_function("my", "Minus", ["x"], ["y"], body, [helper.make_opsetid("", 20)])
    >>> function_proto(proto, 20).name
    'Minus'
    """
    import onnx
    import onnx_ir as ir

    if isinstance(function, onnx.FunctionProto):
        copy = onnx.FunctionProto()
        copy.CopyFrom(function)
        return copy
    if isinstance(function, ir.Function):
        return ir.to_proto(function)
    written = function if hasattr(function, "to_function_proto") else _scripted(function, version)
    proto: onnx.FunctionProto = written.to_function_proto()
    return proto


def _scripted(function: Callable[..., Any], version: int) -> Any:
    """A plain Python function, read by onnxscript."""
    import onnxscript

    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        raise BadInput(f"function: {function!r}", accepted=_ACCEPTED, do="def my_op(x): return op.Relu(x)")
    default = getattr(onnxscript, f"opset{version}", None) or onnxscript.opset23
    own = onnxscript.values.Opset("onnx_lab.custom", 1)
    try:
        with quiet("onnxscript"):
            return onnxscript.script(own, default_opset=default)(function)
    except Exception as e:  # onnxscript raises many kinds for what it cannot read
        reason = str(e).strip().splitlines()
        raise BadInput(
            f"function: onnxscript cannot read {function.__name__}: {reason[-1] if reason else type(e).__name__}",
            accepted=_ACCEPTED,
            do="write it with onnxscript's operators: from onnxscript import opset20 as op",
        ) from e

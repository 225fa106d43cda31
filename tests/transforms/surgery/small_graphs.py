"""Graphs of a few nodes, made by hand for one edit each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

import onnx_lab as lab
from onnx_lab.model import Model

#: Name, numpy type, shape.
Spec = tuple[str, Any, Sequence[int | str] | None]


def value(name: str, dtype: Any, shape: Sequence[int | str] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def small(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Spec],
    outputs: Sequence[Spec],
    weights: Mapping[str, npt.NDArray[np.generic]] | None = None,
    *,
    opset: int = 20,
    domains: Sequence[str] = (),
    functions: Sequence[onnx.FunctionProto] = (),
    name: str = "small",
) -> Model:
    """A Model of these nodes, saved in `folder` and loaded."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [value(*s) for s in inputs],
        [value(*s) for s in outputs],
        [numpy_helper.from_array(np.asarray(w), k) for k, w in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    proto = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)
    path = folder / f"{name}.onnx"
    onnx.save(proto, path)
    return lab.load(path)


def said(m: Model) -> str:
    """What the card of the last step says, in one text."""
    return "\n".join(m.lineage[-1].notes["say"])


def answer(m: Model, **feeds: npt.NDArray[np.generic]) -> dict[str, npt.NDArray[np.generic]]:
    return dict(lab.infer(m, feeds).outputs)

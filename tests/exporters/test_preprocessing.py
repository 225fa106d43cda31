"""What forward does before and after the network proper is said on the card, and nothing is said where it does not."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import onnx_ir as ir
import pytest
import torch

import onnx_lab as lab
from onnx_lab.exporters._preprocessing import sentences


def said(m: lab.Model) -> str:
    return "\n".join(m.lineage[-1].notes["say"])


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
@pytest.mark.parametrize(("of_bytes", "expects"), [(True, "raw values, 0..255"), (False, "values from 0 to 1")])
def test_normalisation_inside_forward(nets: ModuleType, of_bytes: bool, expects: str, exporter: str) -> None:
    m = lab.export(nets.Normalises(of_bytes), torch.randn(2, 3, 16, 16), exporter=exporter)
    assert f"normalises 'x' itself (Div, Sub, Div by constants): the file expects {expects}" in said(m) or (
        not of_bytes and f"normalises 'x' itself (Sub, Div by constants): the file expects {expects}" in said(m)
    )


@pytest.mark.slow
def test_nms_inside_forward(nets: ModuleType) -> None:
    boxes = torch.rand(9, 4)
    boxes[:, 2:] += boxes[:, :2]
    assert "NonMaxSuppression is in the file" in said(lab.export(nets.Detects(), (boxes, torch.rand(9))))


@pytest.mark.slow
def test_nothing_is_said_of_a_net_without_it(nets: ModuleType) -> None:
    assert sentences(lab.export(nets.Pixels()).to_ir()) == []
    assert sentences(lab.samples.tiny().to_ir()) == []


def graph(*steps: tuple[str, object, bool]) -> ir.Model:
    """A graph of arithmetic on a picture: (operator, constant, whether the picture comes first)."""
    at = picture = ir.Value(name="x", shape=ir.Shape([1, 3, 8, 8]), type=ir.TensorType(ir.DataType.FLOAT))
    nodes, constants = [], []
    for i, (op, constant, first) in enumerate(steps):
        c = ir.Value(name=f"c{i}", const_value=ir.tensor(np.asarray(constant, np.float32), name=f"c{i}"))
        constants.append(c)
        nodes.append(ir.node(op, [at, c] if first else [c, at]))
        at = nodes[-1].outputs[0]
    whole = ir.Graph([picture], [at], nodes=nodes, initializers=constants, opset_imports={"": 20})
    return ir.Model(whole, ir_version=10)


@pytest.mark.parametrize(
    ("steps", "expects"),
    [
        ([("Mul", 1 / 255, True)], "raw values"),
        ([("Sub", [[[103.9]], [[116.8]], [[123.7]]], True)], "raw values"),
        ([("Mul", 2, False), ("Add", -1, True)], "from 0 to 1"),
        ([("Sub", 1, False)], "from 0 to 1"),
        ([("Mul", 1, True)], ""),
        ([("Div", 1, False)], ""),
        ([("Add", np.ones((3, 8, 8)), True)], ""),
    ],
)
def test_arithmetic_with_few_constants(steps: list[tuple[str, object, bool]], expects: str) -> None:
    found = sentences(graph(*steps))
    assert bool(found) == bool(expects)
    assert all(expects in s for s in found)

"""prelu_slope and prelu_to_relu: one slope per channel, and the same function without PRelu."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from small_graphs import answer, said, small

import onnx_lab as lab
from onnx_lab.errors import BadInput, TransformError

RNG = np.random.default_rng(0)


@pytest.mark.slow
def test_a_torch_export_whose_slope_lost_its_axes_is_repaired(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.PReLU(6), torch.nn.Conv2d(6, 2, 3)).eval()
    with torch.no_grad():
        net[1].weight.copy_(torch.linspace(-0.5, 2, 6))
    x = torch.randn(1, 3, 10, 10)
    torch.onnx.export(net, (x,), tmp_path / "net.onnx", dynamo=False, input_names=["x"], output_names=["y"])
    m = lab.load(tmp_path / "net.onnx")
    (prelu,) = (n for n in m.to_ir().graph if n.op_type == "PRelu")
    slope = prelu.inputs[1]
    assert slope is not None
    # as some converters write it
    flat = np.linspace(-0.5, 2, 6).astype(np.float32)
    broken = lab.surgery.set_weight(
        m, str(slope.name), flat, new_shape=True, check=False
    )  # as some converters write it
    mended = lab.surgery.prelu_slope(broken)
    assert "[6] → [6, 1, 1]" in said(mended)
    assert "did not run on random feeds" in said(mended)
    with torch.no_grad():
        expected = net(x).numpy()
    assert np.allclose(answer(mended, x=x.numpy())["y"], expected, atol=1e-5)
    plain = lab.surgery.prelu_to_relu(mended)
    assert "PRelu" not in plain.header.operators
    assert np.allclose(answer(plain, x=x.numpy())["y"], expected, atol=1e-5)


def prelu(folder: Path, slope: list[int], shape: list[int | str], *, computed: bool = False) -> lab.Model:
    weights = {"s": RNG.normal(0, 1, slope).astype(np.float32)}
    nodes = [helper.make_node("PRelu", ["x", "t" if computed else "s"], ["y"], "act")]
    if computed:
        nodes.insert(0, helper.make_node("Abs", ["s"], ["t"], "abs"))
    return small(folder, nodes, [("x", np.float32, shape)], [("y", np.float32, shape)], weights)


def test_slopes_that_are_right_stay_and_wrong_ones_are_named(tmp_path: Path) -> None:
    for slope in ([4, 1, 1], [1, 4, 1, 1], [1], []):
        m = lab.surgery.prelu_slope(prelu(tmp_path, slope, [2, 4, 5, 6]), check=False)
        assert "0 of 1 slopes reshaped" in said(m), slope
    with pytest.raises(TransformError, match=r"act has a slope of \[3\] for \[2, 4, 5, 6\]"):
        lab.surgery.prelu_slope(prelu(tmp_path, [3], [2, 4, 5, 6]))
    last = lab.surgery.prelu_slope(prelu(tmp_path, [6, 1, 1], [2, 6, 5, 6]), axis=-1, check=False)
    assert "[6, 1, 1] → [6]" in said(last)
    with pytest.raises(BadInput, match="first/relu is a Relu"):
        lab.surgery.prelu_slope(lab.samples.tiny(), "first/relu")


@pytest.mark.slow
def test_a_slope_that_is_computed_is_reshaped_in_the_graph(tmp_path: Path) -> None:
    m = prelu(tmp_path, [4], ["n", 4, 5, 4], computed=True)  # fits along the width, by accident
    x = RNG.normal(0, 1, (2, 4, 5, 4)).astype(np.float32)
    mended = lab.surgery.prelu_slope(m)
    slope = np.abs(m.to_ir().graph.initializers["s"].const_value.numpy()).reshape(4, 1, 1)  # type: ignore[union-attr]
    assert np.allclose(answer(mended, x=x)["y"], np.where(x < 0, x * slope, x))
    assert "differs" in said(mended)
    plain = lab.surgery.prelu_to_relu(mended)
    assert np.allclose(answer(plain, x=x)["y"], np.where(x < 0, x * slope, x))
    assert "answers as" in said(plain)

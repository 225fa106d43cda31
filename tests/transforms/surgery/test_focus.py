"""focus_to_conv: YOLOv5's Focus as a Conv with stride 2, the same answers, and why not where it is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from small_graphs import answer, said, small

import onnx_lab as lab
from onnx_lab.model import Model


class Focus(torch.nn.Module):
    """As in YOLOv5."""

    def __init__(self, kernel: int = 3, padding: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(12, 8, kernel, stride, padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]]
        return torch.nn.functional.silu(self.conv(torch.cat(parts, 1)))


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "padding", "stride"), [(3, 1, 1), (1, 0, 2)])
def test_slices_and_the_conv_behind_become_one_conv(tmp_path: Path, kernel: int, padding: int, stride: int) -> None:
    torch.manual_seed(0)
    net, x = Focus(kernel, padding, stride).eval(), torch.randn(1, 3, 16, 12)
    torch.onnx.export(net, (x,), tmp_path / "f.onnx", dynamo=False, input_names=["x"], output_names=["y"])
    m = lab.load(tmp_path / "f.onnx")
    assert m.header.operators["Slice"] == 6  # two are read twice
    one = lab.surgery.focus_to_conv(m)
    assert one.header.operators == {"Conv": 1, "Sigmoid": 1, "Mul": 1}
    assert f"one Conv of {2 * kernel}x{2 * kernel}, stride [{2 * stride}, {2 * stride}]" in said(one)
    assert "largest difference" in said(one)
    with torch.no_grad():
        assert np.allclose(answer(one, x=x.numpy())["y"], net(x).numpy(), atol=1e-5)


def slices(folder: Path, *, step: int = 2, order: tuple[int, ...] = (0, 1, 2, 3)) -> Model:
    """Focus by hand, in any order, two axes to a Slice; nothing behind it."""
    cells = [(i // 2, i % 2) for i in order]
    weights = {f"start{i}": np.array(c, np.int64) for i, c in enumerate(cells)}
    weights |= {"end": np.array([2**63 - 1] * 2, np.int64), "axes": np.array([2, 3], np.int64)}
    weights["steps"] = np.array([2, step], np.int64)
    nodes = [helper.make_node("Slice", ["x", f"start{i}", "end", "axes", "steps"], [f"p{i}"], f"cut{i}") for i in order]
    nodes.append(helper.make_node("Concat", [f"p{i}" for i in order], ["y"], "join", axis=1))
    return small(folder, nodes, [("x", np.float32, ["n", 2, 8, 8])], [("y", np.float32, None)], weights)


@pytest.mark.slow
def test_where_no_conv_follows_one_that_sorts_pixels_is_made(tmp_path: Path) -> None:
    m = slices(tmp_path, order=(3, 0, 2, 1))
    one = lab.surgery.focus_to_conv(m)
    assert one.header.operators == {"Conv": 1}
    assert "sorts pixels (not fused: the caller reads it)" in said(one)
    x = np.random.default_rng(0).normal(0, 1, (2, 2, 8, 8)).astype(np.float32)
    assert np.array_equal(answer(one, x=x)["y"], answer(m, x=x)["y"])


@pytest.mark.slow
def test_what_is_no_focus_is_named(tmp_path: Path) -> None:
    m = lab.surgery.focus_to_conv(slices(tmp_path, step=4))
    assert "0 Focus blocks: join: p0 is a Slice (cut0) from 0 in steps of 4 on axis 3" in said(m)

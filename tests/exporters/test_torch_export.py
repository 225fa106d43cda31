"""Any torch module: inputs and axes found, answers checked, the module left as it was, options honoured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import onnx_lab as lab
from onnx_lab import workspace
from onnx_lab._metadata import module_of
from onnx_lab.errors import BadInput, ExportError, ParityError
from onnx_lab.exporters import _torch_attempts
from onnx_lab.exporters._torch_guess import guess
from onnx_lab.exporters.torch_export import unwrapped


def shapes(m: lab.Model) -> tuple[list[str], list[str]]:
    return [str(i) for i in m.inputs], [str(o) for o in m.outputs]


def said(m: lab.Model) -> str:
    return "\n".join(m.lineage[-1].notes["say"])


def kept() -> set[str]:
    return {p.name for p in (workspace.root() / "models").glob("*")}


@pytest.mark.slow
def test_inputs_axes_and_names_are_found_and_the_answers_checked(nets: ModuleType) -> None:
    m = lab.export(nets.Linear())
    assert shapes(m) == (["x: float32[batch, 8]"], ["output: float32[batch, 8]"])
    assert m.name == "Linear"
    assert m.header.opsets[""] == 20
    assert "largest difference to PyTorch" in said(m)
    assert "at (1, 8) and (3, 8)" in said(m)
    assert "inputs found by running the module: x float32 (2, 8)" in said(m)
    assert m.lineage[-1].notes["parity"]["largest"] < 1e-5


@pytest.mark.slow
def test_the_users_module_names_every_weight_and_node(nets: ModuleType) -> None:
    for exporter in ("dynamo", "torchscript"):
        m = lab.export(nets.Pixels(), example=torch.randn(2, 3, 32, 32), exporter=exporter, check=False)
        graph = m.to_ir().graph
        assert {"f.weight", "f.bias"} <= set(graph.initializers), exporter
        assert [module_of(n) for n in graph if n.op_type == "Gemm"] == ["f"], exporter
        assert "not compared with PyTorch" in said(m)
        assert b"site-packages" not in m.path.read_bytes(), "source paths stay at home"
        assert str(Path(nets.__file__).parent).encode() not in m.path.read_bytes()


@pytest.mark.slow
def test_recurrent_gets_a_batch_and_a_sequence_axis_and_the_lstm_operator(nets: ModuleType) -> None:
    m = lab.export(nets.Recurrent())
    assert shapes(m) == (["x: float32[batch, sequence, 8]"], ["output: float32[batch, 16]"])
    assert m.header.operators["LSTM"] == 1
    assert "(3, 91, 8)" in said(m)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda nets: nets.Words(), ["ids: int64[batch, sequence]", "mask: bool[batch, sequence]"]),
        (lambda nets: nets.Pixels(), ["x: float32[batch, 3, 32, 32]"]),  # 224 does not fit its last layer
        (lambda nets: nets.Recurrent(), ["x: float32[batch, sequence, 8]"]),
        (lambda _: torch.nn.GRU(8, 4), ["input: float32[sequence, batch, 8]"]),
        (lambda nets: nets.Linear().double(), ["x: float64[batch, 8]"]),
        (
            lambda _: torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
            ["src: float32[batch, sequence, 16]"],
        ),
        (lambda _: torch.nn.Conv1d(4, 2, 3), ["input: float32[batch, 4, 128]"]),
        (lambda _: torch.nn.ReLU(), ["input: float32[batch, 8]"]),
    ],
)
def test_inputs_are_guessed_from_the_layers(
    nets: ModuleType, make: Callable[[ModuleType], torch.nn.Module], found: list[str]
) -> None:
    assert [str(s) for s in guess(make(nets)).inputs.specs] == found


@pytest.mark.slow
def test_nested_arguments_and_results(nets: ModuleType) -> None:
    r = torch.randn
    m = lab.export(nets.Nested(), example={"pair": ({"u": r(2, 8)}, r(2, 8)), "k": r(2, 8), "flag": True})
    assert [i.name for i in m.inputs] == ["pair_0_u", "pair_1", "k"]
    assert [o.name for o in m.outputs] == ["sum", "both_0", "both_1"]
    assert m.inputs[1].shape == ("batch", 8)


@pytest.mark.slow
def test_an_axis_that_must_stay_fixed_is_told(nets: ModuleType) -> None:
    m = lab.export(nets.OnlyTwo())
    assert m.inputs[0].shape == (2, 8)
    assert "axis 0 of 'x' (batch) stays 2" in said(m)
    with pytest.raises(ExportError, match=r"cannot be dynamic.* works at 2 only"):
        lab.export(nets.OnlyTwo(), dynamic=True)


@pytest.mark.slow
def test_sizes_are_those_that_the_module_takes(nets: ModuleType) -> None:
    m = lab.export(nets.Fours(), example=torch.randn(4, 8))
    assert m.inputs[0].shape == ("batch", 8)
    assert "(8, 8) and (12, 8)" in said(m)


@pytest.mark.slow
def test_a_bound_in_the_modules_code_is_told(nets: ModuleType) -> None:
    assert "batch must be at most 5" in said(lab.export(nets.SmallBatch()))


def test_dynamic_as_asked(nets: ModuleType) -> None:
    m = lab.export(nets.Linear(), example=torch.randn(2, 3, 8), dynamic={"x": {1: "time"}}, check=False)
    assert m.inputs[0].shape == (2, "time", 8)
    m = lab.export(nets.Linear(), dynamic=False, check=False, exporter="torchscript")
    assert m.inputs[0].shape == (2, 8)
    with pytest.raises(ExportError, match="axis 1 of 'x' cannot be dynamic: the module itself refuses"):
        lab.export(nets.Linear(), dynamic={"x": {1: "features"}})
    with pytest.raises(BadInput, match="dynamic names 'y'"):
        lab.export(nets.Linear(), dynamic={"y": {0: "batch"}})


def test_names_as_asked(nets: ModuleType) -> None:
    m = lab.export(nets.Linear(), name="mine", input_names=["in"], output_names=["out"], exporter="torchscript")
    assert (m.name, m.path.name, shapes(m)[1]) == ("mine", "mine.onnx", ["out: float32[batch, 8]"])
    with pytest.raises(BadInput, match="2 input_names"):
        lab.export(nets.Linear(), input_names=["a", "b"])


@pytest.mark.slow
def test_the_opset_is_the_one_asked_for_by_a_named_fallback_where_need_be(nets: ModuleType) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU())
    m = lab.export(net, opset=11)
    assert m.header.opsets[""] == 11
    assert "written by the TorchScript exporter: opset 11 was asked for" in said(m)
    assert m.lineage[-1].notes["exporter"] == "torchscript"
    assert m.outputs[0].shape == ("batch", 8)


@pytest.mark.slow
@pytest.mark.parametrize("opset", [9, 13, 17, 18, 21, 25])
def test_every_opset_of_the_range_runs(nets: ModuleType, opset: int) -> None:
    assert lab.export(nets.Linear(), opset=opset).header.opsets[""] == opset


def test_the_second_export_is_cached_until_weights_or_code_change(nets: ModuleType) -> None:
    net = nets.Linear()
    first = lab.export(net, exporter="torchscript")
    again = lab.export(net, exporter="torchscript")
    assert again.cached
    assert again.path == first.path
    assert "(cached)" in str(again)
    with torch.no_grad():
        net.a.bias += 1
    assert not lab.export(net, exporter="torchscript").cached


@pytest.mark.slow
def test_the_module_is_left_as_it_was(nets: ModuleType) -> None:
    net = nets.Counting().train()
    net.a.eval()
    net.a.bias.requires_grad_(False)
    random_state = torch.get_rng_state()
    lab.export(net, exporter="torchscript")
    assert net.training
    assert not net.a.training
    assert not net.a.bias.requires_grad
    assert net.a.weight.requires_grad
    assert net.a.weight.grad is None
    assert float(net.calls) == 0
    assert "forward" not in vars(net)
    assert torch.equal(random_state, torch.get_rng_state())


def test_eval_mode_is_what_is_exported(nets: ModuleType) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.9)).train()
    assert set(lab.export(net, exporter="torchscript").header.operators) <= {"Gemm", "Identity"}


@pytest.mark.slow
def test_random_numbers_at_inference_are_a_parity_error_and_leave_nothing(nets: ModuleType) -> None:
    before = kept()
    with pytest.raises(ParityError, match=r"differs from PyTorch by .* at .1, 8.") as e:
        lab.export(nets.AlwaysDropout())
    assert "differs from itself" in str(e.value)
    assert kept() == before


@pytest.mark.slow
def test_nan_everywhere_is_an_error_and_nan_in_both_is_told(nets: ModuleType) -> None:
    with pytest.raises(ParityError, match="nothing but NaN"):
        lab.export(nets.NothingButNaN(), exporter="torchscript")
    torch.manual_seed(0)
    assert "were NaN, in both alike" in said(lab.export(nets.SomeNaN(), exporter="torchscript"))


def test_what_cannot_be_guessed_says_what_was_tried(nets: ModuleType) -> None:
    with pytest.raises(BadInput, match=r"forward\(x, y\).* Tried float32\[2, 8\]") as e:
        lab.export(nets.Unguessable())
    assert 'example={"x": torch.randn' in str(e.value)


@pytest.mark.parametrize(
    ("example", "says"),
    [
        (torch.randn(2, 7), "does not run on the example: RuntimeError"),
        ((torch.randn(2, 8), torch.randn(2, 8)), "does not fit Linear.forward"),
        ((3,), "holds no tensor"),
    ],
)
def test_a_wrong_example(nets: ModuleType, example: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        lab.export(nets.Linear(), example=example)


def test_bfloat16_is_refused_early(nets: ModuleType) -> None:
    with pytest.raises(BadInput, match="bfloat16"):
        lab.export(nets.Linear().bfloat16(), example=torch.randn(2, 8).bfloat16())


def test_compiled_and_parallel_modules_are_unwrapped(nets: ModuleType) -> None:
    net = nets.Linear()
    compiled = torch.nn.Module()
    compiled._orig_mod = net  # as torch.compile wraps it, without its slow import
    assert unwrapped(torch.nn.DataParallel(compiled)) is net


@pytest.mark.slow
def test_nothing_reaches_the_user(nets: ModuleType, capfd: pytest.CaptureFixture[str], recwarn: Any) -> None:
    lab.export(nets.Linear(), opset=17, name="quiet", check=False)
    with pytest.raises(lab.errors.UnsupportedOperator):
        lab.export(nets.Custom())
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    assert not [w for w in recwarn if "onnx" in str(w.message).lower() or "export" in str(w.message).lower()]


def test_numpy_arrays_are_an_example_too(nets: ModuleType) -> None:
    m = lab.export(nets.Linear(), example={"x": np.zeros((2, 8), np.float32)}, exporter="torchscript")
    assert m.inputs[0].shape == ("batch", 8)


def test_a_mask_in_the_example_is_padded_in_the_check(nets: ModuleType) -> None:
    example = {"ids": torch.tensor([[5, 6, 0], [7, 8, 9]]), "mask": torch.tensor([[1, 1, 0], [1, 1, 1]])}
    m = lab.export(nets.Words(), example=example, exporter="torchscript")
    assert [str(i) for i in m.inputs] == ["ids: int64[batch, sequence]", "mask: int64[batch, sequence]"]
    assert "(3, 91), padding masked" in said(m)


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_an_input_that_is_not_used_stays_an_input(nets: ModuleType, exporter: str) -> None:
    m = lab.export(nets.Unused(), exporter=exporter)
    assert [i.name for i in m.inputs] == ["x", "y"]


def test_what_dynamo_cannot_do_goes_to_torchscript_by_name(nets: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a construct it does not know\nand a second line")

    monkeypatch.setitem(_torch_attempts.WRITERS, "dynamo", fails)
    m = lab.export(nets.Linear())
    reason = "RuntimeError: a construct it does not know (test_torch_export.py:"
    assert f"written by the TorchScript exporter: Linear could not be exported: {reason}" in said(m)
    assert str(Path(__file__).parent) not in said(m)
    with pytest.raises(ExportError, match="the TorchScript exporter was tried too: the TorchScript exporter does not"):
        lab.export(nets.Linear(), opset=23)


@pytest.mark.slow
def test_lightnings_example_is_an_example(nets: ModuleType) -> None:
    net = nets.Linear()
    net.example_input_array = torch.zeros(2, 5, 8)
    m = lab.export(net, exporter="torchscript")
    assert m.inputs[0].shape == ("batch", 5, 8)

"""What cannot be exported is said in the user's words: operator, line, module, what to try."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

import onnx_lab as lab
from onnx_lab.errors import ExportError, ParityError, UnsupportedOperator
from onnx_lab.exporters.explain import Place, is_library, static_axes


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_an_unknown_operator_names_itself_its_line_and_module(
    nets: ModuleType, line_of: Callable[[str], int], exporter: str
) -> None:
    with pytest.raises(UnsupportedOperator) as e:
        lab.export(nets.Custom(), exporter=exporter)
    assert "onnx_lab_tests::weird has no ONNX form" in e.value.came
    if exporter == "dynamo":
        assert "used in inner (Inner)" in e.value.came
        assert f"nets.py:{line_of('return weird(y) + 1')}" in e.value.came
        assert "return weird(y) + 1" in e.value.came
    assert "plain tensor operations" in str(e.value)


def test_a_branch_on_values_names_its_line_and_is_never_traced_away(
    nets: ModuleType, line_of: Callable[[str], int]
) -> None:
    with pytest.raises(ExportError, match="decides by the values of a tensor") as e:
        lab.export(nets.ByValue())
    assert f"nets.py:{line_of('if x.sum() > 0')}" in str(e.value)
    assert "torch.cond" in str(e.value)
    assert not isinstance(e.value, UnsupportedOperator)


def test_a_loop_over_values_names_its_line_and_another_way_round(
    nets: ModuleType, line_of: Callable[[str], int]
) -> None:
    with pytest.raises(ExportError, match="loops as often as a tensor's values say") as e:
        lab.export(nets.ByCount())
    assert f"nets.py:{line_of('for _ in range(int(x.abs()')}" in str(e.value)
    assert "export the module that it calls" in str(e.value)


def test_a_branch_in_a_librarys_code_leads_to_the_parts() -> None:
    import torch

    made: dict[str, type[torch.nn.Module]] = {}
    exec(  # code without a file, as all that is not the user's
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x if x.sum() > 0 else -x\n",
        made,
    )
    with pytest.raises(ExportError, match="in code of a library") as e:
        lab.export(made["Net"](), torch.randn(2, 8))
    assert "net.backbone" in str(e.value)


@pytest.mark.slow
def test_a_number_taken_out_of_a_tensor_is_a_branch_where_it_decides(
    nets: ModuleType, line_of: Callable[[str], int]
) -> None:
    with pytest.raises(ExportError, match="decides by the values of a tensor") as e:
        lab.export(nets.ByItem())
    assert f"nets.py:{line_of('if scale > 1 else x')}" in str(e.value)


def test_an_operator_of_torchvision_is_left_to_python() -> None:
    import torch
    import torchvision

    class Aligns(torch.nn.Module):
        def forward(self, x: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
            return torchvision.ops.ps_roi_pool(x, boxes, output_size=2)

    example = (torch.randn(1, 4, 8, 8), torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]]))
    with pytest.raises(UnsupportedOperator, match="torchvision::ps_roi_pool") as e:
        lab.export(Aligns(), example)
    assert "export backbone and head" in str(e.value)
    assert "test_explain.py:" in str(e.value)


def test_torchscript_on_request_says_what_it_kept_from_the_example(nets: ModuleType) -> None:
    try:
        m = lab.export(nets.ByValue(), exporter="torchscript")
    except ParityError:
        return  # the two trials took different branches: found out
    assert "kept what the example decided at nets.py:" in "".join(m.lineage[-1].notes["say"])


def test_static_axes_are_read_from_torch_exports_message() -> None:
    e = ValueError(
        "Found the following conflicts\n- Received user-specified dim hint Dim.DYNAMIC(min=None, max=None), but "
        "tracing inferred a static shape of 16 for dimension inputs['input_1'].shape[2]."
    )
    outer = RuntimeError("Failed to export the model")
    outer.__cause__ = e
    assert static_axes(outer) == {(1, 2): 16}
    assert static_axes(ValueError("something else")) == {}


def test_a_notebook_cell_is_called_a_cell() -> None:
    place = Place("/tmp/ipykernel_12/345.py", 3, "forward")
    assert str(place).startswith("line 3 of a notebook cell")
    assert place.short == "cell line 3"
    assert not is_library("/tmp/ipykernel_12/345.py")
    assert is_library(pytest.__file__)

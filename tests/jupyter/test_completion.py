from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

BENCH = ["--batch", "--seq", "--targets", "--against", "--budget-s", "--feeds", "--threads", "--seed"]
JOB = ["--background", "--memory-mb", "--timeout-s", "--in-turn"]


class Module:
    """Stands for torch.nn.Module."""


def test_only_its_own_options(notebook: Any) -> None:
    assert notebook.tab("%onnx_bench m --") == [*BENCH, *JOB, "--code", "--help"]
    assert notebook.tab("x = %onnx_bench m --b") == ["--batch", "--budget-s", "--background"]
    assert notebook.tab("%onnx_fp16 m --no-") == ["--no-keep-io"]


def test_after_a_line_break_and_in_a_block(notebook: Any) -> None:
    assert notebook.tab("%onnx_bench m \\\n    wide --ta") == ["--targets"]
    assert notebook.tab("for n in nets:\n    r = %onnx_bench n --ta") == ["--targets"]


def test_values_of_options(notebook: Any) -> None:
    assert notebook.tab("%onnx_bench m --targets open") == ["openvino"]
    assert notebook.tab("%onnx_bench m --targets cpu,open") == ["openvino"]
    assert notebook.tab("%onnx_optimize m --target=cu") == ["cuda"]
    assert notebook.tab("%onnx_simplify m --tool ") == ["onnxslim", "onnxsim"]
    assert "dynamic" in notebook.tab("%onnx_quantize m --method ")
    assert "layer_norm" in notebook.tab("%onnx_optimize m --disable gelu,la")


def test_objects_that_fit(notebook: Any) -> None:
    notebook.ns.update(net=Module(), number=3, nets={"a b": notebook.ns["m"]}, text="m")
    assert notebook.tab("%onnx_inspect ")[:3] == ["m", "wide", "nets['a b']"]
    assert notebook.tab("%onnx_export n")[0] == "net"
    assert notebook.tab("%onnx_inspect w") == ["wide"]
    assert "m" in notebook.tab("%onnx_bench wide ")
    assert notebook.tab("%onnx_inspect nets[") == ["nets['a b']"]


def test_paths(notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub dir").mkdir()
    notebook.ns["m"].save(tmp_path / "zig.onnx")
    notebook.ns["m"].save(tmp_path / "sub dir" / "zag.onnx")
    (tmp_path / "zoo.txt").touch()
    monkeypatch.chdir(tmp_path)
    assert notebook.tab("%onnx_inspect z") == ["zig.onnx"]
    assert notebook.tab("%onnx_inspect 'sub dir/z") == ["'sub dir/zag.onnx'"]
    assert notebook.tab(f"%onnx_inspect {tmp_path}/z") == [f"{tmp_path}/zig.onnx"]


def test_nothing_else_fills_the_gap(notebook: Any) -> None:
    assert notebook.tab("%onnx_bench m --zzz") == ["--zzz"]
    assert notebook.tab("%onnx_inspect pri") == ["pri"]


def test_other_lines_are_left_alone(notebook: Any) -> None:
    assert "print" in notebook.tab("pri")
    assert "%onnx_export" in notebook.tab("%onnx_ex")
    assert "OnnxLab.debug" in notebook.tab("%config OnnxLab.de")
    assert "onnx_lab" in notebook.tab("import onnx_l")

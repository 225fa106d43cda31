"""export picks by what it is given, and says so when it cannot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import onnx_lab as lab
from onnx_lab.errors import BadInput, NotInThisVersion
from onnx_lab.exporters.export import EXPORTERS, plain_code


def test_a_file_is_loaded() -> None:
    m = lab.samples.tiny()
    assert lab.export(m.path).digest == lab.export(str(m.path), name="t").digest == m.digest
    assert lab.export(m.path, name="t").name == "t"


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        (3, r"builtins.int is nothing that can be exported[\s\S]*torch.nn.Module"),
        (torch.nn.Linear, r"an instance of it: lab.export\(Linear\(...\)\)"),
        (type("Pipe", (), {"model": torch.nn.Linear(2, 2)})(), r"lab.export\(obj.model\)"),
        ("/no/such/folder", "no file or folder at /no/such/folder"),
        ("a b c", "no file or folder at a b c"),
        ("absent.keras", "no file or folder at absent.keras"),
    ],
)
def test_unknown_things(obj: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        lab.export(obj)


def test_weights_and_folders_without_config(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"x")
    with pytest.raises(BadInput, match="pickle, which the lab does not open"):
        lab.export(tmp_path / "w.pt")
    with pytest.raises(BadInput, match=r"has no config\.json"):
        lab.export(tmp_path)
    lab.samples.tiny().save(tmp_path / "tiny.onnx")
    with pytest.raises(BadInput, match=re.escape("tiny.onnx")):
        lab.export(tmp_path)


@pytest.mark.parametrize(
    ("module", "framework"),
    [("xgboost.sklearn", "XGBoost"), ("lightgbm.sklearn", "LightGBM"), ("flax.linen.module", "Flax")],
)
def test_announced_frameworks_are_told_by_name_without_importing_them(module: str, framework: str) -> None:
    obj = type("Net", (), {"__module__": module})()
    with pytest.raises(NotInThisVersion, match=f"Net is a {framework} model") as e:
        lab.export(obj)
    assert "lab.load" in str(e.value)


def test_a_keras_model_on_the_torch_backend_is_a_keras_model() -> None:
    kind = type("Net", (torch.nn.Module,), {"__module__": "torch_nets"})
    keras = type("Model", (kind,), {"__module__": "keras.src.models"})()
    exporter = next(e for accepts, e in EXPORTERS if accepts(keras))
    assert exporter.__name__ == "_export_keras"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"opset": 99}, r"opset=99\n  accepted: 9 to 25"),
        ({"opset": "20"}, "opset='20'"),
        ({"exporter": "dynmo"}, "did you mean 'dynamo'"),
        ({"tolerance": 0}, "tolerance=0"),
        ({"input_names": "x"}, "a list of names"),
        ({"output_names": ["a", "a"]}, "a name twice"),
        ({"dynamic": {"x": [0]}}, "accepted: None"),
        ({"name": "a/b"}, "without slashes"),
    ],
)
def test_wrong_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        lab.export(torch.nn.Linear(2, 2), **options)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the plain code calls the TorchScript exporter unguarded
@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_the_plain_code_makes_the_same_model(exporter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(8, 4)).eval()
    m = lab.export(net, name="plain", exporter=exporter, check=False)
    step = m.lineage[-1]
    code = plain_code(**{**step.options, **step.notes})
    monkeypatch.chdir(tmp_path)
    exec(re.sub(r"net = \.\.\. .*", "", code), {"net": net})
    made = lab.load(tmp_path / "model.onnx")
    assert (made.inputs, made.header.opsets) == (m.inputs, m.header.opsets)


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_the_plain_code_before_an_export_leaves_the_inputs_open(exporter: str) -> None:
    code = plain_code(exporter=exporter, opset=None, name="x")
    compile(code, "code", "exec")
    assert "opset_version=20" in code
    assert f"dynamo={exporter == 'dynamo'}" in code

"""NNCF is an extra: what is said without it, and what is asked of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput, MissingExtra
from onnx_lab.runtime import nncf_quantizer
from onnx_lab.transforms import _nncf
from onnx_lab.transforms.quantize import plain_code

DATA = [{"x": np.zeros((2, 8), np.float32)}]


def test_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it may be installed: the child finds one that is not."""
    (tmp_path / "nncf.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with pytest.raises(MissingExtra, match=r"onnx-lab\[nncf\]"):
        lab.quantize(lab.samples.tiny(), method="nncf", data=DATA)


def test_data_is_needed() -> None:
    with pytest.raises(BadInput, match="no data for method='nncf'"):
        lab.quantize(lab.samples.tiny(), method="nncf")


def test_what_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its side is played by onnxruntime's own QDQ file; batches reach it whole and in order."""
    made = lab.quantize(lab.samples.tiny(), method="static", data=DATA)
    asked: dict[str, object] = {}

    def play(source: Path, out: Path, batches: Path, **options: object) -> None:
        asked.update(options, batches=[np.load(f)["x"] for f in sorted(batches.glob("*.npz"))])
        assert lab.load(source).header.nodes == lab.samples.tiny().header.nodes
        out.write_bytes(made.path.read_bytes())

    monkeypatch.setattr(_nncf, "run_nncf", play)
    data = [{"x": np.full((2, 8), i, np.float32)} for i in range(3)]
    m = lab.quantize(lab.samples.tiny(), method="nncf", data=data, exclude_nodes=["second/*"], reduce_range=False)
    batches = asked.pop("batches")
    assert [b.flat[0] for b in batches] == [0, 1, 2]  # type: ignore[attr-defined]
    assert asked["exclude_nodes"] == ["second/matmul", "second/add"]
    assert asked["transformer"] is False
    assert m.lineage[-1].notes["say"][1].startswith("NNCF on 6 samples in 3 batches")
    assert "smoothed" not in m.lineage[-1].notes["say"][1]


def test_plain_code_sends_nothing() -> None:
    code = plain_code(method="nncf", transformer=True)
    compile(code, "nncf", "exec")
    assert code.index("NNCF_CI") < code.index("import nncf")
    assert "nncf.ModelType.TRANSFORMER" in code


def test_child_says_which_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "nncf", None)
    options = {"transformer": False, "symmetric": False, "reduce_range": False}
    with pytest.raises(MissingExtra):
        nncf_quantizer.quantize_file("a", "b", "c", **options, exclude_nodes=[], exclude_ops=[])

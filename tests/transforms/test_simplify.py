"""simplify: fewer nodes, the same answers, nothing lost on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from encoders import run

import onnx_lab as lab
from onnx_lab._metadata import module_of
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.transforms import simplify as simplify_module

SLOW_SKIP = pytest.param("onnxsim", "eliminate_identity", marks=pytest.mark.slow)
TOOLS = ["onnxslim", pytest.param("onnxsim", marks=pytest.mark.slow)]  # its import alone takes two seconds


@pytest.mark.parametrize("tool", TOOLS)
def test_fewer_nodes_same_answers(
    exported: Callable[[str, str], Model], feeds: dict[str, np.ndarray], tool: str
) -> None:
    m = exported("bert", "torchscript-eager")
    slim = lab.simplify(m, tool=tool)
    np.testing.assert_allclose(run(slim, feeds), run(m, feeds), atol=1e-5)
    assert slim.header.nodes < 0.7 * m.header.nodes
    assert slim.header.glue < m.header.glue
    notes = slim.lineage[-1].notes
    assert notes["nodes"] == {"before": m.header.nodes, "after": slim.header.nodes}
    assert notes["glue"] == {"before": m.header.glue, "after": slim.header.glue}


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["onnxslim", "onnxsim"])
def test_what_the_file_carries_survives(bert: Model, feeds: dict[str, np.ndarray], tool: str) -> None:
    fast = lab.optimize(bert)
    slim = lab.simplify(fast, tool=tool)
    assert slim.header.operators["MultiHeadAttention"] == 2
    assert slim.session_hints == fast.session_hints
    assert not [k for k in slim.header.metadata if k.startswith("onnxsim")]
    fused = [n for n in slim.to_ir().graph if n.op_type == "MultiHeadAttention"]
    assert module_of(fused[0]) == "bert.encoder.layer.0.attention.self"
    np.testing.assert_allclose(run(slim, feeds), run(bert, feeds), atol=1e-5)


@pytest.mark.parametrize(
    ("tool", "skip"),
    [("onnxslim", "dead_node_elimination"), pytest.param("onnxsim", "eliminate_identity", marks=pytest.mark.slow)],
)
def test_a_pass_left_out(tool: str, skip: str) -> None:
    m = lab.samples.tiny()
    assert "Identity" not in lab.simplify(m, tool=tool).header.operators
    assert "Identity" in lab.simplify(m, tool=tool, skip=[skip]).header.operators


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tool": "onnxslm"}, "did you mean 'onnxslim'?"),
        ({"skip": "constant_foldin"}, "did you mean 'constant_folding'?"),
        ({"skip": ["FusionGem"]}, "did you mean 'FusionGemm'?"),
        pytest.param(
            {"tool": "onnxsim", "skip": ["eliminate_nop_kast"]},
            "did you mean 'eliminate_nop_cast'?",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_wrong_words(options: dict[str, object], text: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.simplify(lab.samples.tiny(), **options)  # type: ignore[arg-type]
    assert text in str(caught.value)


def test_says_when_it_changed_nothing() -> None:
    again = lab.simplify(lab.simplify(lab.samples.tiny()))
    assert "changed nothing" in again.lineage[-1].notes["say"][1]


def test_says_when_it_grew(monkeypatch: pytest.MonkeyPatch) -> None:
    def grown(m: Model, skip: tuple[str, ...]) -> ir.Model:
        model = m.to_ir()
        model.graph.insert_before(model.graph[0], ir.node("Identity", [model.graph.inputs[0]], name="idle"))
        return model

    monkeypatch.setattr(simplify_module, "_onnxslim", grown)
    said = lab.simplify(lab.samples.tiny(features=5)).lineage[-1].notes["say"]
    assert said[0] == "the graph grew: 6 → 7 nodes (glue 1 → 2)"
    assert "onnxsim" in said[1]


def test_a_tool_that_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxslim

    def broken(*_: object, **__: object) -> None:
        print("details")
        raise KeyError("shape")

    monkeypatch.setattr(onnxslim, "slim", broken)
    with pytest.raises(TransformError, match="onnxslim gave up: 'shape'") as caught:
        lab.simplify(lab.samples.tiny(features=6))
    assert "details" in str(caught.value)


@pytest.mark.parametrize("tool", TOOLS)
def test_silent(bert: Model, tool: str, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    lab.simplify(bert, tool=tool, name="silent")
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list

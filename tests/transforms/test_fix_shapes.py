"""fix_shapes: the same answers at the size, nothing left of the arithmetic, and no size that the original refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from encoders import run
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.model import Model

Exported = Callable[[str, str], Model]
FORMS = [
    ("bert", "dynamo-sdpa"),
    *(
        pytest.param(k, f, marks=pytest.mark.slow)
        for k, f in (("bert", "torchscript-sdpa"), ("bert", "dynamo-eager"), ("vit", "torchscript-sdpa"))
    ),
]


def padded(batch: int, seq: int) -> dict[str, np.ndarray]:
    """Texts of which all but the first are padded, and pictures."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 200, (batch, seq))
    mask = np.ones_like(ids)
    mask[1:, seq // 2 :] = 0
    texts = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}
    return {**texts, "pixel_values": rng.normal(size=(batch, 3, 32, 32)).astype(np.float32)}


def graph(tmp_path: Path, nodes: list[onnx.NodeProto], dims: list[int | str | None], **weights: np.ndarray) -> Model:
    """``x -> y``."""
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "form"), FORMS)
def test_same_answers_and_no_arithmetic_on_shapes(exported: Exported, kind: str, form: str) -> None:
    m = exported(kind, form)
    fixed = lab.fix_shapes(m, batch=3, seq=12)
    feeds = padded(3, 12)
    np.testing.assert_allclose(run(fixed, feeds), run(m, feeds), atol=1e-6)
    assert all(isinstance(d, int) for s in (*fixed.inputs, *fixed.outputs) for d in s.shape)
    assert [s.shape for s in fixed.outputs] == [(3, 4)]
    assert not {"Shape", "Range", "ConstantOfShape", "Identity"} & set(fixed.header.operators)
    notes = fixed.lineage[-1].notes
    assert fixed.header.nodes == notes["nodes"]["after"] < notes["nodes"]["before"] == m.header.nodes
    assert notes["gone"]["Shape"] > 0
    assert any(s.startswith("gone: ") for s in notes["say"])


@pytest.mark.slow
def test_then_optimized_all_blocks_are_fused(exported: Exported) -> None:
    m = exported("bert", "dynamo-sdpa")
    fast = lab.optimize(lab.fix_shapes(m, batch=3, seq=12))
    assert fast.lineage[-1].notes["attention_blocks"] == {"found": 2, "fused": 2}
    np.testing.assert_allclose(run(fast, padded(3, 12)), run(m, padded(3, 12)), atol=1e-5)


@pytest.mark.slow
def test_an_axis_may_stay_dynamic(exported: Exported) -> None:
    m = exported("bert", "dynamo-sdpa")
    fixed = lab.fix_shapes(m, batch=None, seq=12)
    assert {s.shape for s in fixed.inputs} == {("batch", 12)}
    assert "still dynamic: batch" in fixed.lineage[-1].notes["say"]
    for batch in (1, 5):
        np.testing.assert_allclose(run(fixed, padded(batch, 12)), run(m, padded(batch, 12)), atol=1e-6)


def test_a_size_that_the_original_refuses(exported: Exported) -> None:
    m = exported("bert", "dynamo-sdpa")
    with pytest.raises(BadInput, match="does not run at this size") as caught:
        lab.fix_shapes(m, seq=65)  # it has 64 positions
    assert "[1, 65]" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"axes": {"sequenc": 3}}, "did you mean 'sequence'?"),
        ({"batch": 0}, "batch=0"),
        ({"seq": 1.5}, "seq=1.5"),
        ({"axes": {"sequence": True}}, "sequence=True"),
        ({"batch": None, "seq": None}, "no axis to fix"),
    ],
)
def test_what_is_refused(bert: Model, options: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.fix_shapes(bert, **options)  # type: ignore[arg-type]
    assert says in str(caught.value)


@pytest.mark.slow
def test_axes_by_name_and_without_a_name(tmp_path: Path) -> None:
    m = graph(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [None, 3, "height", "width"])
    fixed = lab.fix_shapes(m, axes={"height": 5, "width": 7})
    assert fixed.inputs[0].shape == fixed.outputs[0].shape == (1, 3, 5, 7)
    assert fixed.lineage[-1].notes["say"][0] == "fixed: axis 0 of x = 1, height = 5, width = 7"
    partly = lab.fix_shapes(m, axes={"height": 5})
    assert partly.inputs[0].shape == (1, 3, 5, "width")
    with pytest.raises(BadInput, match="no axis to fix"):
        lab.fix_shapes(fixed)


@pytest.mark.slow
def test_a_slice_that_turns_is_no_idle_slice(tmp_path: Path) -> None:
    ends = {"starts": [-1], "ends": [-(2**31)], "axes": [0], "steps": [-1]}
    m = graph(
        tmp_path,
        [helper.make_node("Slice", ["x", *ends], ["t"]), helper.make_node("Relu", ["t"], ["y"])],
        ["batch", 2],
        **{k: np.array(v) for k, v in ends.items()},
    )
    x = {"x": np.arange(6, dtype=np.float32).reshape(3, 2)}
    np.testing.assert_array_equal(run(lab.fix_shapes(m, batch=3), x), x["x"][::-1])


@pytest.mark.slow
def test_cached_and_in_a_recipe(bert: Model) -> None:
    recipe = lab.Recipe(("fix_shapes", {"batch": 2, "seq": 9}), name="r")
    first, again = recipe(bert), lab.fix_shapes(lab.load(bert.path), batch=2, seq=9, name=f"{bert.name}-r")
    assert again.cached
    assert first.digest == again.digest
    assert lab.Recipe.of(first) == lab.Recipe(("fix_shapes", {"batch": 2, "seq": 9}), name=first.name)

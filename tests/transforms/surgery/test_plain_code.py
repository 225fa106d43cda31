"""The plain code of the node edits: run as it is printed, its file answers as the lab's does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator
from small_graphs import small
from test_clean import torchscript_squeeze
from test_focus import slices
from test_normalization import WEIGHTS, keras_like

import onnx_lab as lab
from onnx_lab.model import Model
from onnx_lab.transforms.code import code_for

edit = lab.surgery


def tiny(_: Path) -> Model:
    return lab.samples.tiny()


def leaky(_: Path) -> Model:
    return edit.replace_op(lab.samples.tiny(), "Relu", "LeakyRelu", attributes={"alpha": 0.5}, check=False)


def prelu(folder: Path) -> Model:
    nodes = [helper.make_node("PRelu", ["x", "s"], ["y"], "act")]
    x, y = (("x", np.float32, ["n", 3, 4, 3]), ("y", np.float32, ["n", 3, 4, 3]))
    return small(folder, nodes, [x], [y], {"s": np.float32([0.1, 0.5, -1])})


def scaled(folder: Path) -> Model:
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["x0"], "mul"),
        helper.make_node("Add", ["x0", "minus"], ["x1"], "add"),
        helper.make_node("Conv", ["x1", "w", "b"], ["y"], "conv"),
    ]
    weights = {k: WEIGHTS[k] for k in ("scale", "minus", "w", "b")}
    return small(folder, nodes, [("x", np.float32, ["n", 3, 9, 9])], [("y", np.float32, None)], weights)


def conv_behind(folder: Path) -> Model:
    weights = np.random.default_rng(0).normal(0, 1, (2, 8, 3, 3)).astype(np.float32)
    given = ["y", weights]
    return edit.insert_node(slices(folder), "y", "Conv", inputs=given, attributes={"pads": [1] * 4}, check=False)


CASES: dict[str, tuple[Callable[[Path], Model], Callable[[Model], Model]]] = {
    "set_attribute": (leaky, lambda m: edit.set_attribute(m, "first/*", "alpha", "0.25", check=False)),
    "delete_attribute": (leaky, lambda m: edit.delete_attribute(m, "LeakyRelu", "alpha", check=False)),
    "replace_op": (tiny, lambda m: edit.replace_op(m, "Relu", "Elu", attributes={"alpha": 0.5}, check=False)),
    "remove_node": (tiny, lambda m: edit.remove_node(m, ["Identity", "first/relu"], check=False)),
    "remove the last": (tiny, lambda m: edit.remove_node(m, "second/add", check=False)),
    "insert_node": (tiny, lambda m: edit.insert_node(m, "h1", "Clip", inputs=["h1", 0.0, 0.5], check=False)),
    "insert at the end": (tiny, lambda m: edit.insert_node(m, "logits", "Softmax", check=False)),
    "make_node": (tiny, lambda m: edit.make_node(m, "Mul", ["h1", np.float32([2] * 16)], "twice", check=False)),
    "set_weight": (tiny, lambda m: edit.set_weight(m, "b2", np.float32([1, 2, 3, 4]), check=False)),
    "drop_dead": (tiny, lambda m: edit.drop_dead(m, check=False)),
    "prelu_slope": (prelu, lambda m: edit.prelu_slope(m, check=False)),
    "prelu_to_relu": (prelu, lambda m: edit.prelu_to_relu(m, check=False)),
    "focus_to_conv": (conv_behind, lambda m: edit.focus_to_conv(m, check=False)),
    "focus alone": (slices, lambda m: edit.focus_to_conv(m, fuse=False, check=False)),
    "constant_if": (lambda p: torchscript_squeeze(p, 1), lambda m: edit.constant_if(m, check=False)),
    "an If forced": (
        lambda p: torchscript_squeeze(p, 1), lambda m: edit.constant_if(m, "if", branch="else", check=False),
    ),
    "fold_normalization": (scaled, lambda m: edit.fold_normalization(m, check=False)),
    "take_out": (keras_like, lambda m: edit.take_out_normalization(m, check=False)),
    "put_in": (keras_like, lambda m: edit.put_in_normalization(m, "x", [1, 2, 3], 4, axis=-1, check=False)),
    "put_in bytes": (tiny, lambda m: edit.put_in_normalization(m, "x", 2, 4, dtype="uint8", check=False)),
    "inline_functions": (tiny, lambda m: edit.inline_functions(m, check=False)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_code_makes_a_file_that_answers_as_the_lab_s(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, change = CASES[case]
    m = make(tmp_path)
    made = change(m)
    step = made.lineage[-1]
    monkeypatch.chdir(tmp_path)
    m.save(tmp_path / "model.onnx")
    exec(code_for(step), {})
    written = onnx.load(f"model-{step.verb.removeprefix('surgery.').replace('_', '-')}.onnx")
    onnx.checker.check_model(written)
    (spec,) = made.inputs
    shape = [d if isinstance(d, int) else 2 for d in spec.shape]
    x = np.random.default_rng(0).normal(0, 3, shape).astype(spec.dtype)
    expected, got = (ReferenceEvaluator(p).run(None, {"x": x}) for p in (made.to_proto(), written))
    assert len(expected) == len(got)
    for a, b in zip(expected, got, strict=True):
        assert np.allclose(a, b, atol=1e-4)

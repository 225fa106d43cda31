"""rewrite and custom_to_function: what the user wrote, through the same door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnxscript import FLOAT, opset20, script
from onnxscript.rewriter import RewriteRule, RewriteRuleClassBase, RewriteRuleSet
from small_graphs import answer, said, small

import onnx_lab as lab
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model

X = np.linspace(-2, 2, 24, dtype=np.float32).reshape(3, 8)


class Sigmoids(RewriteRuleClassBase):
    """x * sigmoid(x), as HardSwish."""

    def pattern(self, op: Any, x: Any) -> Any:
        return op.Mul(x, op.Sigmoid(x))

    def rewrite(self, op: Any, x: Any) -> Any:
        return op.HardSwish(x)


def silus(folder: Path) -> Model:
    nodes = []
    for a, b in (("x", "h"), ("h", "y")):
        nodes.append(helper.make_node("Sigmoid", [a], [f"s{b}"], f"sigmoid_{b}"))
        nodes.append(helper.make_node("Mul", [a, f"s{b}"], [b], f"mul_{b}"))
    return small(folder, nodes, [("x", np.float32, ["n", 8])], [("y", np.float32, ["n", 8])])


def relu_twice(op: Any, x: Any) -> Any:
    return op.Relu(op.Relu(x))


def relu(op: Any, x: Any) -> Any:
    return op.Relu(x)


def test_each_rule_says_how_often_it_fired(tmp_path: Path) -> None:
    m = silus(tmp_path)
    for rules in (Sigmoids, Sigmoids.rule(), RewriteRuleSet([Sigmoids.rule()]), [Sigmoids()]):
        hard = lab.surgery.rewrite(m, rules, check=rules is Sigmoids)
        assert hard.header.operators == {"HardSwish": 2}
        assert "Sigmoids: 2 times" in said(hard)
        assert ("differs by" in said(hard)) == (rules is Sigmoids)
    none = lab.surgery.rewrite(m, [(relu_twice, relu), RewriteRule(relu, relu_twice)], check=False)
    assert "relu_twice → relu: 0 times" in said(none)
    assert "rule 2: 0 times" in said(none)
    assert none.header.operators == m.header.operators


def test_what_is_no_rule_and_a_rule_that_fails_are_told(tmp_path: Path) -> None:
    m = silus(tmp_path)
    with pytest.raises(BadInput, match=r"rules: 'relu'(.|\n)*pairs of functions"):
        lab.surgery.rewrite(m, "relu")

    def sigmoid(op: Any, x: Any) -> Any:
        return op.Sigmoid(x)

    def broken(op: Any, x: Any) -> Any:
        raise KeyError("scale")

    with pytest.raises(TransformError, match="relu → relu fires without end"):
        lab.surgery.rewrite(lab.samples.tiny(), [(relu, relu)])
    with pytest.raises(TransformError, match="a rule failed: KeyError: 'scale'"):
        lab.surgery.rewrite(m, (sigmoid, broken))


@script(default_opset=opset20)
def scripted(x: FLOAT[...], alpha: float = 2.0) -> FLOAT[...]:
    return opset20.Mul(opset20.Relu(x), opset20.CastLike(opset20.Constant(value_float=alpha), x))


def python_only(x):  # type: ignore[no-untyped-def]
    return opset20.Relu(x) * 3.0


def custom(folder: Path, inputs: int = 1, **attributes: Any) -> Model:
    nodes = [helper.make_node("Twist", ["x"] * inputs, ["y"], "twist", domain="my.own", **attributes)]
    return small(folder, nodes, [("x", np.float32, ["n", 8])], [("y", np.float32, ["n", 8])], domains=["my.own"])


@pytest.mark.slow
def test_a_custom_operator_gets_a_body_and_runs(tmp_path: Path) -> None:
    runs = lab.surgery.custom_to_function(custom(tmp_path, alpha=0.5), "my.own::Twist", scripted)
    assert "did not run on random feeds" in said(runs)
    assert np.allclose(answer(runs, x=X)["y"], 0.5 * np.maximum(X, 0))
    flat = lab.surgery.inline_functions(runs)
    assert "Twist" not in flat.header.operators
    assert np.allclose(answer(flat, x=X)["y"], 0.5 * np.maximum(X, 0))
    plain = lab.surgery.custom_to_function(custom(tmp_path), "Twist", python_only)
    assert np.allclose(answer(plain, x=X)["y"], 3 * np.maximum(X, 0))


def test_a_function_that_does_not_fit_is_told_with_the_node(tmp_path: Path) -> None:
    with pytest.raises(TransformError, match=r"Twist twist has 2 inputs, and scripted\(x\) has 1"):
        lab.surgery.custom_to_function(custom(tmp_path, inputs=2), "Twist", scripted)
    with pytest.raises(TransformError, match=r"attributes that .* does not take: beta"):
        lab.surgery.custom_to_function(custom(tmp_path, beta=1), "Twist", scripted)
    with pytest.raises(BadInput, match=r"'Twisst' is no operator(.|\n)*my.own::Twist"):
        lab.surgery.custom_to_function(custom(tmp_path), "Twisst", scripted)
    with pytest.raises(BadInput, match="is one of ONNX's own"):
        lab.surgery.custom_to_function(lab.samples.tiny(), "Relu", scripted)
    with pytest.raises(BadInput, match="function: 3"):
        lab.surgery.custom_to_function(custom(tmp_path), "Twist", 3)

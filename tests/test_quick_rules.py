"""Rules that are asked quickly make the same graphs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import onnx
import pytest

import onnx_lab as lab
from onnx_lab._quick_rules import quick_rules
from onnx_lab.exporters import _torch_write
from onnx_lab.transforms import _tidy, optimize

if TYPE_CHECKING:
    import onnx_ir as ir


@pytest.mark.slow
def test_a_bert_exports_and_fuses_to_the_same_nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=99)
    net = BertForSequenceClassification(config).eval()

    def made(home: str) -> list[list[tuple[str, list[str], list[str]]]]:
        monkeypatch.setenv("ONNX_LAB_HOME", str(tmp_path / home))
        exported = lab.export(net, name="net")
        files = [exported, lab.optimize(exported, target="cpu"), lab.optimize(exported, target="cuda")]
        graphs = [onnx.load(m.path).graph for m in files]
        return [[(n.op_type, list(n.input), list(n.output)) for n in g.node] for g in graphs]

    quick = made("quick")
    for module in (_torch_write, _tidy, optimize):
        monkeypatch.setattr(module, "quick_rules", contextlib.nullcontext)
    assert made("slow") == quick


def test_a_rule_is_not_asked_about_other_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxscript.rewriter import _matcher, pattern

    asked: list[str] = []
    real = _matcher.SimplePatternMatcher.match

    def match(self: Any, model: Any, graph: Any, node: ir.Node, **options: Any) -> Any:
        asked.append(node.op_type)
        return real(self, model, graph, node, **options)

    monkeypatch.setattr(_matcher.SimplePatternMatcher, "match", match)
    rules = pattern.RewriteRuleSet([pattern.RewriteRule(lambda op, x: op.Relu(x), lambda op, x: op.Abs(x))])
    graph = lab.samples.tiny().to_ir()
    with quick_rules():
        assert rules.apply_to_model(graph) > 0
    assert set(asked) == {"Relu"}
    asked.clear()
    rules.apply_to_model(lab.samples.tiny().to_ir())
    assert set(asked) > {"Relu"}

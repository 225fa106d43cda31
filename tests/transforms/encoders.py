"""Two-layer encoders, exported in every form, and how to run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from onnx_lab.model import Model

BERT_FORMS = ["dynamo-sdpa", "torchscript-eager"]
SLOW_FORMS = ["torchscript-sdpa", "dynamo-eager", "dynamo23-sdpa"]


def run(m: Model, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """The first output, by a session of the test's own, opened as the file's hints say."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    hints = m.session_hints
    if hints.get("graph_optimization_level") == "disable":
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        str(m.path),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=hints.get("disabled_optimizers", []),
    )
    names = {i.name for i in session.get_inputs()}
    result: np.ndarray = session.run(None, {k: v for k, v in feeds.items() if k in names})[0]
    return result


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Between the two as vectors."""
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def export(kind: str, form: str, path: Path) -> None:
    """Write a two-layer classifier as an exporter with an attention implementation writes it."""
    import warnings

    import torch

    torch.manual_seed(0)
    exporter, attention = form.split("-")
    net, inputs = _net(kind, attention)
    axes = {k: {0: "batch", 1: "sequence"} if v.ndim == 2 else {0: "batch"} for k, v in inputs.items()}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            named = _ByPosition(net, list(inputs))
            torch.onnx.export(
                named,
                tuple(inputs.values()),
                str(path),
                dynamo=False,
                input_names=list(inputs),
                output_names=["logits"],
                opset_version=17,
                dynamic_axes=axes,
            )
            return
        torch.onnx.export(
            net,
            (),
            str(path),
            kwargs=inputs,
            dynamo=True,
            dynamic_shapes={k: {i: torch.export.Dim(a, max=64) for i, a in v.items()} for k, v in axes.items()},
            input_names=list(inputs),
            output_names=["logits"],
            external_data=False,
            opset_version=23 if exporter == "dynamo23" else 20,
            verbose=False,
        )


def _net(kind: str, attention: str) -> tuple[Any, dict[str, Any]]:
    import torch
    import transformers as t

    small: dict[str, Any] = {"vocab_size": 200, "max_position_embeddings": 64, "num_labels": 4}
    ids = torch.randint(0, 200, (2, 16))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if kind == "bert":
        sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
        config, family = t.BertConfig(**small, **sizes), t.BertForSequenceClassification
        inputs["token_type_ids"] = torch.zeros_like(ids)
    elif kind == "distilbert":
        config = t.DistilBertConfig(**small, dim=64, n_layers=2, n_heads=4, hidden_dim=128)
        family = t.DistilBertForSequenceClassification
    else:
        sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
        config = t.ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=4)
        family, inputs = t.ViTForImageClassification, {"pixel_values": torch.randn(2, 3, 32, 32)}
    return family._from_config(config, attn_implementation=attention).eval(), inputs


def _ByPosition(net: Any, names: list[str]) -> Any:  # noqa: N802  (a class, made late: torch is heavy)
    import torch

    class ByPosition(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, *values: Any) -> Any:
            return self.net(**dict(zip(names, values, strict=True))).logits

    return ByPosition()

"""A fixed batch made dynamic on real architectures of docs/frameworks.md: right at batch 1, 3 and 8."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.feeds import model_feeds

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from architectures import architectures

pytestmark = pytest.mark.slow

#: Name -> the exporter; both write fixed shapes in forms of their own.
CHOSEN = {
    "BertForSequenceClassification": "torchscript",
    "RobertaForQuestionAnswering": "dynamo",
    "DebertaV2ForSequenceClassification": "torchscript",
    "T5EncoderModel": "torchscript",
    "GPT2ForSequenceClassification": "torchscript",
    "CLIPTextModel": "dynamo",
    "CLIPVisionModel": "torchscript",
    "SwinForImageClassification": "dynamo",
    "DenseNet": "torchscript",
    "MLPClassifier": "dynamo",
}


def of_one(example: Any) -> Any:
    """An example of one sample."""
    return None if example is None else example[:1]


@pytest.mark.parametrize("name", CHOSEN)
def test_a_fixed_batch_becomes_dynamic(name: str) -> None:
    row = next(a for a in architectures() if a.name == name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = of_one(row.example()) if row.example else None
        m = lab.export(row.build(), example=example, dynamic=False, exporter=CHOSEN[name], check=False)
    free = lab.surgery.dynamic(m)
    fixed = m.inputs[0].shape[0]
    assert isinstance(fixed, int)
    assert all(s.shape[0] == "batch" for s in (*free.inputs, *free.outputs))
    one_by_one = [model_feeds(m, batch=1, seed=5 + i) for i in range(8)]
    alone = [lab.infer(m, {k: np.repeat(v[:1], fixed, 0) for k, v in f.items()}).outputs for f in one_by_one]
    for batch in (1, 3, 8):
        feeds = {k: np.concatenate([f[k][:1] for f in one_by_one[:batch]]) for k in one_by_one[0]}
        for key, value in lab.infer(free, feeds).outputs.items():
            wanted = np.concatenate([a[key][:1] for a in alone[:batch]])
            assert value.shape == wanted.shape
            assert np.allclose(value, wanted, atol=2e-4), (key, batch)

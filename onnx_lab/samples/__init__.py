"""The tutorials' models and data, with their offline stand-ins. Nothing heavy is imported until it is called."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx_lab.samples.bert_sample import BertSample as BertSample
    from onnx_lab.samples.bert_sample import bert as bert
    from onnx_lab.samples.bert_sample import bert_base as bert_base
    from onnx_lab.samples.clip_sample import ClipSample as ClipSample
    from onnx_lab.samples.clip_sample import clip as clip
    from onnx_lab.samples.tiny_sample import tiny as tiny
    from onnx_lab.samples.vgg16_sample import Vgg16Sample as Vgg16Sample
    from onnx_lab.samples.vgg16_sample import vgg16 as vgg16

_HOME = {
    "BertSample": "bert_sample",
    "bert": "bert_sample",
    "bert_base": "bert_sample",
    "ClipSample": "clip_sample",
    "clip": "clip_sample",
    "tiny": "tiny_sample",
    "Vgg16Sample": "vgg16_sample",
    "vgg16": "vgg16_sample",
}
__all__ = ["BertSample", "ClipSample", "Vgg16Sample", "bert", "bert_base", "clip", "tiny", "vgg16"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # modules end in _sample so that importing one never hides the function of the same name
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value

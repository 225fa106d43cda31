"""Two towers of a few nodes each, whose answers NumPy knows: pairs are tested on them without a framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import onnx_lab as lab
from onnx_lab.pair import ClipPair

CONTEXT, SIZE, WORDS = 8, 6, ("red", "green", "blue")
RNG = np.random.default_rng(3)
#: A picture's mean colour goes to its features by this, and a text's words by the same: red text is near red pictures.
PROJECTION = np.linalg.qr(RNG.standard_normal((SIZE, SIZE)))[0][:3].astype(np.float32)
EMBEDDING = np.concatenate([np.zeros((1, SIZE), np.float32), PROJECTION])


def make_pair(folder: Path, *, bias: float | None = None, scale: float = 10.0) -> ClipPair:
    """Pictures of 4 x 4, texts of 8 tokens, features of 6."""
    spec = helper.make_tensor_value_info
    image = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "projection"], ["raw"]),
        helper.make_node("LpNormalization", ["raw"], ["image_features"], axis=-1, p=2),
    ]
    text = [
        helper.make_node("Gather", ["embedding", "text"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axis"], ["raw"], keepdims=0),
        helper.make_node("LpNormalization", ["raw"], ["text_features"], axis=-1, p=2),
    ]
    _write(
        folder / "t-image.onnx",
        image,
        spec("image", TensorProto.FLOAT, ["batch", 3, 4, 4]),
        "image_features",
        {"axes": np.array([2, 3]), "projection": PROJECTION},
    )
    _write(
        folder / "t-text.onnx",
        text,
        spec("text", TensorProto.INT64, ["batch", CONTEXT]),
        "text_features",
        {"axis": np.array([1]), "embedding": EMBEDDING},
    )
    towers = (lab.load(folder / f"t-{part}.onnx") for part in ("image", "text"))
    return ClipPair(*towers, scale, CONTEXT, bias, "toy")


def _write(path: Path, nodes: list[Any], source: Any, output: str, weights: dict[str, np.ndarray]) -> None:
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", SIZE])
    tensors = [numpy_helper.from_array(v, k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "tower", [source], [result], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def tokenizer(texts: list[str]) -> np.ndarray:
    """Called as open_clip's is: words by number, zeros behind them, cut at the context."""
    rows = np.zeros((len(texts), CONTEXT), np.int64)
    for row, text in zip(rows, texts, strict=True):
        ids = [WORDS.index(w) + 1 for w in text.split() if w in WORDS][:CONTEXT]
        row[: len(ids)] = ids
    return rows


def preprocess(picture: Image.Image) -> np.ndarray:
    """PIL image -> float32 (3, 4, 4), from 0 to 1."""
    return np.asarray(picture.resize((4, 4)), np.float32).transpose(2, 0, 1) / 255


def colours() -> list[Image.Image]:
    """One picture of each colour."""
    return [Image.new("RGB", (16, 12), c) for c in ("#e01010", "#10c010", "#1010f0")]

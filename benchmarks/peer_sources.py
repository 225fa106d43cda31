"""The three models of the comparison, as every tool gets them: PyTorch, a plain ONNX export, calibration feeds."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from onnx_lab.model import Model
from onnx_lab.task import Feeds


@dataclass(frozen=True)
class Source:
    """A model and the shapes it is timed at.

    `folder` holds ``raw.onnx``, ``feeds/`` with one file per shape, ``calibration/`` with 32 batches, ``net.pt`` for a
    module of PyTorch, and ``hf/`` for a transformer of Hugging Face. `shapes` and `facts` are options of `lab.best`:
    what a user knows about the inputs.
    """

    name: str
    folder: Path
    net: Any
    example: Any
    shapes: tuple[dict[str, int], ...]
    feeds: tuple[Feeds, ...]
    calibration: list[Feeds]
    rivals: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The shapes in words."""
        return tuple("x".join(str(n) for n in s.values()) for s in self.shapes)

    def answers(self, shape: int) -> np.ndarray:
        """PyTorch's first output."""
        import torch

        with torch.inference_mode():
            values = {k: torch.from_numpy(v) for k, v in self.feeds[shape].items()}
            out = self.net(**values) if len(values) > 1 else self.net(*values.values())
        first = out if isinstance(out, torch.Tensor) else next(iter(out.values()))
        return np.asarray(first.detach())


def fed(m: Model, feeds: Feeds) -> dict[str, np.ndarray]:
    """The feeds that `m` takes; a single one under the name that `m` has for it."""
    if len(feeds) == len(m.inputs) == 1:
        return {m.inputs[0].name: next(iter(feeds.values()))}
    return {i.name: feeds[i.name] for i in m.inputs}


def bert(folder: Path, *, padded: bool = False) -> Source:
    """A classifier of BERT-base's size, random weights, texts without padding or of random lengths, half at least."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    net = BertForSequenceClassification(BertConfig(num_labels=4)).eval()
    net.save_pretrained(folder / "hf")
    shapes = tuple({"batch": b, "seq": s} for b, s in ((1, 32), (1, 128), (8, 128), (1, 512)))
    rng = np.random.default_rng(0)

    def texts(batch: int, seq: int) -> Feeds:
        ids = rng.integers(1000, 30_000, (batch, seq))
        mask = np.ones_like(ids)
        if padded:
            mask[:] = np.arange(seq) < rng.integers(seq // 2, seq + 1, (batch, 1))
            ids *= mask
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}

    names = ("input_ids", "attention_mask", "token_type_ids")
    both = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", min=2, max=512)}
    _export(folder, net, texts(2, 16), dict.fromkeys(names, both), names)
    calibration = [texts(1, 64) for _ in range(32)]
    feeds = tuple(texts(**s) for s in shapes)
    _save(folder, feeds, calibration)
    name, rivals = (
        f"BERT-base, {'padded' if padded else 'no padding'}",
        ("torch", "ort", "optimum", "olive", "openvino"),
    )
    return Source(name, folder, net, None, shapes, feeds, calibration, rivals, {"padding": padded})


def bert_padded(folder: Path) -> Source:
    """The same for padded texts: the mask counts."""
    return bert(folder, padded=True)


def vgg16(folder: Path) -> Source:
    """Keras's VGG16 for 128x128x3 and 10 classes, random weights, on the torch backend."""
    import os

    os.environ.setdefault("KERAS_BACKEND", "torch")
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # Keras would import it to see whether it is there
    import keras

    keras.utils.set_random_seed(0)
    net = keras.applications.VGG16(weights=None, input_shape=(128, 128, 3), classes=10)
    rng = np.random.default_rng(0)
    shapes = ({"batch": 1}, {"batch": 8})

    def pictures(batch: int) -> Feeds:
        return {net.inputs[0].name: rng.uniform(0, 255, (batch, 128, 128, 3)).astype(np.float32)}

    calibration = [pictures(1) for _ in range(32)]
    feeds = tuple(pictures(**s) for s in shapes)
    net(next(iter(feeds[0].values())))  # its own export fails on a model that has never been called
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(action="ignore"):
        net.export(str(folder / "raw.onnx"), format="onnx", verbose=False)
    _save(folder, feeds, calibration)
    return Source("VGG16", folder, net, None, shapes, feeds, calibration, ("ort", "openvino"))


def clip(folder: Path) -> Source:
    """The image tower of open_clip's ViT-B-32, random weights."""
    import open_clip
    import torch

    torch.manual_seed(0)
    net = open_clip.create_model("ViT-B-32", pretrained=None).visual.eval()
    rng = np.random.default_rng(0)
    shapes = ({"batch": 1}, {"batch": 8})

    def pictures(batch: int) -> Feeds:
        return {"image": rng.standard_normal((batch, 3, 224, 224)).astype(np.float32)}

    calibration = [pictures(1) for _ in range(32)]
    feeds = tuple(pictures(**s) for s in shapes)
    _export(folder, net, pictures(2), ({0: torch.export.Dim("batch")},), ("image",))
    _save(folder, feeds, calibration)
    rivals = ("torch", "ort", "openvino")
    return Source("CLIP ViT-B-32 image", folder, net, pictures(2)["image"], shapes, feeds, calibration, rivals)


def clip_text(folder: Path) -> Source:
    """The text tower of open_clip's ViT-B-32, random weights; contexts are always 77 tokens long."""
    import open_clip
    import torch

    class Text(torch.nn.Module):
        """The tower alone, as open_clip's own `encode_text` computes it."""

        def __init__(self) -> None:
            super().__init__()
            whole = open_clip.create_model("ViT-B-32", pretrained=None)
            whole.visual = torch.nn.Identity()
            self.clip = whole

        def forward(self, text: torch.Tensor) -> Any:
            """(batch, 77) token ids to (batch, 512) features."""
            return self.clip.encode_text(text)

    torch.manual_seed(0)
    net = Text().eval()
    rng = np.random.default_rng(0)
    shapes = ({"batch": 1}, {"batch": 8})

    def texts(batch: int) -> Feeds:
        """Between the start and the end token 5 to 30 words; open_clip fills up with zeros."""
        ids = np.zeros((batch, 77), np.int64)
        for row in ids:
            words = rng.integers(5, 31)
            row[: words + 2] = [49406, *rng.integers(300, 40_000, words), 49407]
        return {"text": ids}

    calibration = [texts(1) for _ in range(32)]
    feeds = tuple(texts(**s) for s in shapes)
    _export(folder, net, texts(2), ({0: torch.export.Dim("batch")},), ("text",))
    _save(folder, feeds, calibration)
    rivals = ("ort", "openvino")
    return Source("CLIP ViT-B-32 text", folder, net, texts(2)["text"], shapes, feeds, calibration, rivals)


def _export(folder: Path, net: Any, example: Feeds, axes: Any, names: tuple[str, ...]) -> None:
    """The export that PyTorch's own page shows."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    if type(net).__module__ != __name__:  # a class of ours means nothing to a rival's process
        torch.save(net, folder / "net.pt")
    tensors = {k: torch.from_numpy(v) for k, v in example.items()}
    many = len(tensors) > 1
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            net,
            () if many else tuple(tensors.values()),
            folder / "raw.onnx",
            kwargs=tensors if many else None,
            dynamo=True,
            dynamic_shapes=axes,
            input_names=list(names),
            external_data=False,
            verbose=False,
        )


def _save(folder: Path, feeds: tuple[Feeds, ...], calibration: list[Feeds]) -> None:
    for name, batches in (("feeds", feeds), ("calibration", calibration)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i, batch in enumerate(batches):
            np.savez(folder / name / f"{i:03}.npz", **batch)  # type: ignore[arg-type]


SOURCES: dict[str, Callable[[Path], Source]] = {
    "bert": bert,
    "bert-padded": bert_padded,
    "vgg16": vgg16,
    "clip": clip,
    "clip-text": clip_text,
}

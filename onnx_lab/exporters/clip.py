"""CLIP: an open_clip model (also by its folder) or a Hugging Face CLIPModel -> a ClipPair of two Models.

Each tower takes the road of every torch module (`onnx_lab.exporters.torch_export`), so axes, parity and cache are the
same. What is known of a CLIP is given along: the size of its pictures, the length of its texts, which token ends one.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput, ExportError, missing
from onnx_lab.exporters._identity import module_identity
from onnx_lab.exporters._inputs import Inputs, Padding
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters._torch_source import TorchSource, to_tensors
from onnx_lab.exporters._torch_write import CHATTER
from onnx_lab.exporters.torch_export import TOOLS, make
from onnx_lab.feeds import random_feeds
from onnx_lab.model import Model, TensorSpec
from onnx_lab.pair import ClipPair
from onnx_lab.produce import Made, produce

if TYPE_CHECKING:
    import torch

CONFIG_FILE = "open_clip_config.json"
HUB_PREFIX = "hf-hub:"
_BATCH = 2
#: A Hugging Face text of the example is so long; any length up to the context is taken.
_LENGTH = 16


@dataclass(frozen=True)
class Tower:
    """One half: the module, what it takes, and its name."""

    part: str
    module: torch.nn.Module
    inputs: Inputs


def is_open_clip(obj: object) -> bool:
    """Whether `obj` is a model of open_clip with two towers, or its CoCa; open_clip is not imported to find out."""
    return any(
        k.__module__.startswith("open_clip.") and k.__name__ in ("CLIP", "CustomTextCLIP", "CoCa")
        for k in type(obj).__mro__
    )


def is_hugging_face_clip(obj: object) -> bool:
    """Whether `obj` is a Hugging Face ``CLIPModel``; transformers is not imported to find out."""
    return any(k.__name__ == "CLIPModel" and k.__module__.startswith("transformers.") for k in type(obj).__mro__)


def is_clip_folder(path: Path) -> bool:
    """Whether a folder holds an open_clip model in the hub's layout."""
    return (path / CONFIG_FILE).is_file()


def export_clip(model: Any, options: ExportOptions, name: str | None) -> ClipPair:
    """Export both towers; see `onnx_lab.export`.

    Raises
    ------
    BadInput
        For options that name single tensors, which a pair has not.
    ExportError
        For a CoCa, whose text tower writes captions. Else as `onnx_lab.export`.
    """
    _refuse(model, options)
    label = type(model).__name__
    name = name or label
    model, said = _in_float32(model)
    towers = _hugging_face(model) if is_hugging_face_clip(model) else _open_clip(model)
    made = {t.part: _exported(t, options, label, f"{name}-{t.part}", said) for t in towers}
    bias = getattr(model, "logit_bias", None)
    return ClipPair(
        image=made["image"],
        text=made["text"],
        logit_scale=math.exp(float(model.logit_scale.detach())),
        context_length=_context(model),
        logit_bias=None if bias is None else float(bias.detach()),
        name=name,
    )


def export_folder(source: str | Path, options: ExportOptions, name: str | None) -> ClipPair:
    """Export the open_clip model of a local folder, or of a hub name that begins with ``hf-hub:``."""
    text = str(source)
    folder = None if text.startswith(HUB_PREFIX) else Path(source).expanduser()
    model = load_open_clip(text if folder is None else f"local-dir:{folder}")
    label = text.removeprefix(HUB_PREFIX).rsplit("/", 1)[-1] if folder is None else folder.resolve().name
    return export_clip(model, options, name or label)


def load_open_clip(source: str) -> Any:
    """An open_clip model by ``local-dir:FOLDER`` or ``hf-hub:NAME``, in float32, with its weights or not at all.

    Raises
    ------
    ExportError
        When it cannot be read, or has no weights beside its config.
    MissingExtra
        Without open_clip.
    """
    folder = Path(source.removeprefix("local-dir:"))
    if source.startswith("local-dir:") and not list(folder.glob("*.safetensors")):
        raise ExportError(
            f"{folder} has no weights as safetensors; a pickle (.pt, .bin) is not opened: it can run code",
            accepted=f"{CONFIG_FILE} and open_clip_model.safetensors in one folder",
            do="open it yourself: open_clip.create_model(name, pretrained=path), then lab.export(model)",
        )
    with _silent():
        try:
            import open_clip
        except ImportError:
            raise missing("open_clip", "clip") from None
        try:
            return open_clip.create_model(source, require_pretrained=True, weights_only=True).eval()
        except Exception as e:
            lines = [line for line in str(e).splitlines() if line.strip()] or [type(e).__name__]
            raise ExportError(
                f"{source.split(':', 1)[1]} could not be read as an open_clip model: {lines[0][:300]}",
                accepted=f"a folder or repository with {CONFIG_FILE} and open_clip_model.safetensors",
                do="check the files; a pickled .pt is opened by open_clip in your own code, then lab.export(model)",
            ) from e


def _refuse(model: Any, options: ExportOptions) -> None:
    if any(k.__name__ == "CoCa" for k in type(model).__mro__):
        raise ExportError(
            "a CoCa writes captions: its text tower runs token by token, on what the picture tower sees",
            accepted="open_clip's CLIP and CustomTextCLIP, Hugging Face's CLIPModel",
            do="lab.export(model.visual, example=pictures) exports its image tower alone",
        )
    for option in ("input_names", "output_names"):
        if getattr(options, option) is not None:
            raise BadInput(f"{option} for a pair", accepted="names are given: image, text, image_features, ...")


def _exported(tower: Tower, options: ExportOptions, label: str, name: str, said: list[str]) -> Model:
    def body() -> Made:
        arguments = dict(zip(tower.inputs.names, to_tensors(tower.module, tower.inputs.example.values()), strict=True))
        source = replace(TorchSource.of(tower.module, (), arguments), inputs=tower.inputs)
        return make(source, options, said)

    with quiet(*CHATTER):
        key = module_identity(tower.module)
    options_json = options.as_json(f"{label} {tower.part} tower")
    return produce("export", options_json, body, tools=(*TOOLS, "open_clip_torch"), name=name, cache_key=key)


def _in_float32(model: Any) -> tuple[Any, list[str]]:
    """The model, or a copy of it in float32, with a sentence that says so.

    Halves become float32 without loss, and float32 is what every transform starts from.
    """
    others = sorted({str(p.dtype).removeprefix("torch.") for p in model.parameters()} - {"float32"})
    if not others:
        return model, []
    said = f"the weights were in {', '.join(others)} and are float32 in the file; lab.fp16 makes it half the size"
    return copy.deepcopy(model).float(), [said]


def _open_clip(model: Any) -> tuple[Tower, Tower]:
    from onnx_lab.exporters._clip_towers import ImageTower, TextTower

    size = model.visual.image_size
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    image = TensorSpec("image", "float32", ("batch", 3, height, width))
    text = TensorSpec("text", "int64", ("batch", _context(model)))
    feeds = random_feeds([text], batch=_BATCH, ids_below={"text": int(model.vocab_size)})
    return (
        Tower("image", ImageTower(model), Inputs((image,), random_feeds([image], batch=_BATCH))),
        Tower("text", TextTower(model), Inputs((text,), feeds, {"text": int(model.vocab_size)})),
    )


def _hugging_face(model: Any) -> tuple[Tower, Tower]:
    from onnx_lab.exporters._clip_towers import HuggingFaceImageTower, HuggingFaceTextTower

    vision, words = model.config.vision_config, model.config.text_config
    pixels = TensorSpec("pixel_values", "float32", ("batch", vision.num_channels, vision.image_size, vision.image_size))
    ids = TensorSpec("input_ids", "int64", ("batch", "sequence"))
    mask = TensorSpec("attention_mask", "int64", ("batch", "sequence"))
    inputs = Inputs(
        (ids, mask),
        {},
        samples={"input_ids": _with_ends(words.vocab_size, words.eos_token_id)},
        padding={"attention_mask": Padding("input_ids", 0)},
        limits={"sequence": words.max_position_embeddings},
    )
    example = random_feeds((ids, mask), batch=_BATCH, seq=min(_LENGTH, words.max_position_embeddings))
    inputs = replace(inputs, example=example)
    return (
        Tower("image", HuggingFaceImageTower(model), Inputs((pixels,), random_feeds([pixels], batch=_BATCH))),
        Tower("text", HuggingFaceTextTower(model), replace(inputs, example=inputs.feeds())),
    )


def _with_ends(vocabulary: int, end: int) -> np.ndarray[Any, np.dtype[np.generic]]:
    """Ids to draw texts from, one in ten of them the token that ends a text: its first place is what is pooled."""
    ids = np.random.default_rng(0).integers(1, vocabulary, 900)
    return np.concatenate([ids, np.full(100, end)]).astype(np.int64)


def _context(model: Any) -> int:
    if is_hugging_face_clip(model):
        return int(model.config.text_config.max_position_embeddings)
    return int(model.context_length)


@contextmanager
def _silent() -> Iterator[None]:
    """open_clip logs its steps on the root logger, at INFO and WARNING."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with quiet(*CHATTER, "open_clip", "timm", "huggingface_hub", "httpx"):
            yield
    finally:
        logging.root.setLevel(level)

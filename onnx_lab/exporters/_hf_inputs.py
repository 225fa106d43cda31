"""Inputs of a Hugging Face model, from its forward signature and its config: nobody has to write them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab.exporters._inputs import Inputs, Padding
from onnx_lab.feeds import DEFAULT_PIXELS, random_feeds
from onnx_lab.model import TensorSpec

if TYPE_CHECKING:
    import transformers

SIZES = {"batch": 2, "sequence": 16, "decoder_sequence": 7, "samples": 4000}
#: Position tables of some families start at 2 or later (RoBERTa), so the last few sizes are left alone.
SPARE_POSITIONS = 4


@dataclass(frozen=True)
class Guess:
    """Inputs to try, with the arguments that are no tensors."""

    inputs: Inputs
    constants: Mapping[str, Any]


def guesses(model: transformers.PreTrainedModel) -> Iterator[Guess]:
    """Inputs that fit the model by its signature and config, the fullest first; the model decides."""
    parameters = inspect.signature(model.forward).parameters
    constants = {"use_cache": False} if "use_cache" in parameters else {}
    specs = [s for s in _specs(model) if s.name in parameters]
    without_decoder = [s for s in specs if not s.name.startswith("decoder_")]
    main = [s for s in specs if s.name == model.main_input_name]
    seen: list[list[TensorSpec]] = []
    for choice in (specs, without_decoder, main):
        if choice and choice not in seen:
            seen.append(choice)
            for batch in (SIZES["batch"], 1):  # a decoder without padding token classifies one text at a time
                yield Guess(_inputs(model, choice, {**SIZES, "batch": batch}), constants)


def inputs_like(model: transformers.PreTrainedModel, inputs: Inputs) -> Inputs:
    """The caller's own example with what the config knows: bounds of ids, padding, axis names."""
    known = {s.name: s for s in _specs(model)}
    specs = tuple(
        known[s.name] if s.name in known and len(known[s.name].shape) == len(s.shape) else s for s in inputs.specs
    )
    return Inputs(
        specs=specs,
        example=inputs.example,
        samples={k: v for k, v in inputs.example.items() if "mask" not in k},
        padding=_padding(model, inputs.example),
        limits=_limits(model),
    )


def labels(model: transformers.PreTrainedModel) -> tuple[str, ...]:
    """Class names in the order of the scores, for classifiers; the config invents names for other models too."""
    if "Classification" not in type(model).__name__:
        return ()
    names: Mapping[int, str] = getattr(model.config, "id2label", None) or {}
    return tuple(str(names[i]) for i in sorted(names))


def _specs(model: transformers.PreTrainedModel) -> Iterator[TensorSpec]:
    """Every input that the lab knows how to make for this config, in the usual order."""
    config = model.config
    text, vision = config.get_text_config(), getattr(config, "vision_config", config)
    tokens = ("batch", "sequence")
    if getattr(text, "vocab_size", 0) and model.main_input_name not in ("input_values", "input_features"):
        if model.main_input_name == "input_ids" or "input_ids" in inspect.signature(model.forward).parameters:
            yield from (TensorSpec("input_ids", "int64", tokens), TensorSpec("attention_mask", "int64", tokens))
        if getattr(text, "type_vocab_size", 0) > 1:
            yield TensorSpec("token_type_ids", "int64", tokens)
    yield TensorSpec("pixel_values", _float(model), ("batch", _channels(vision), *_pixels(vision)))
    yield TensorSpec("input_values", _float(model), ("batch", "samples"))
    mel = getattr(config, "num_mel_bins", 80)
    yield TensorSpec("input_features", _float(model), ("batch", mel, 2 * getattr(config, "max_source_positions", 1500)))
    if getattr(config, "is_encoder_decoder", False):
        yield TensorSpec("decoder_input_ids", "int64", ("batch", "decoder_sequence"))


def _inputs(model: transformers.PreTrainedModel, specs: list[TensorSpec], sizes: Mapping[str, int]) -> Inputs:
    vocabulary = getattr(model.config.get_text_config(), "vocab_size", 0)
    below = {s.name: vocabulary for s in specs if s.name.endswith("input_ids")}
    example = random_feeds(specs, axes=sizes, ids_below=below)
    return Inputs(tuple(specs), example, below, padding=_padding(model, example), limits=_limits(model))


def _padding(model: transformers.PreTrainedModel, example: Mapping[str, Any]) -> dict[str, Padding]:
    if not {"input_ids", "attention_mask"} <= set(example):
        return {}
    pad = getattr(model.config.get_text_config(), "pad_token_id", None)
    return {"attention_mask": Padding("input_ids", pad if isinstance(pad, int) and pad >= 0 else 0)}


def _limits(model: transformers.PreTrainedModel) -> dict[str, int]:
    text = model.config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    if not isinstance(positions, int) or positions <= 2 * SPARE_POSITIONS:
        return {}
    return {"sequence": positions - SPARE_POSITIONS, "decoder_sequence": positions - SPARE_POSITIONS}


def _float(model: transformers.PreTrainedModel) -> str:
    return str(model.dtype).removeprefix("torch.")


def _channels(config: Any) -> int:
    return int(getattr(config, "num_channels", None) or getattr(config, "in_channels", None) or 3)


def _pixels(config: Any) -> tuple[int, int]:
    size = getattr(config, "image_size", None) or DEFAULT_PIXELS
    if isinstance(size, (list, tuple)):
        return int(size[0]), int(size[-1])
    return int(size), int(size)

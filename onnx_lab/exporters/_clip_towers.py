"""The two halves of a CLIP as torch modules of their own: pictures, or tokens, to features of length 1.

A tower holds the parts of the model that it needs under the names that they have there, and calls the model's own
``encode_image`` or ``encode_text`` on itself. So nodes and weights keep the names that the user knows, and a tower
weighs what it weighs: the other half is not in it.
"""

from __future__ import annotations

from typing import Any

import torch

#: Parts of an open_clip model that no tower needs.
_HEAD = ("logit_scale", "logit_bias")


class ImageTower(torch.nn.Module):  # type: ignore[misc]
    """``image`` float (batch, 3, height, width) -> ``image_features`` (batch, size), of an open_clip model."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.kind = type(model)
        self.visual = model.visual
        self.eval()

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features of length 1."""
        return {"image_features": _unit(self.kind.encode_image(self, image))}


class TextTower(torch.nn.Module):  # type: ignore[misc]
    """``text`` int64 (batch, context) -> ``text_features`` (batch, size), of an open_clip model."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.kind = type(model)
        for name, part in model.named_children():
            if name != "visual":
                self.add_module(name, part)
        for name, weight in model.named_parameters(recurse=False):
            if name not in _HEAD:
                self.register_parameter(name, weight)
        for name, buffer in model.named_buffers(recurse=False):
            self.register_buffer(name, buffer, persistent=False)
        for name in ("text_pool_type", "text_eos_id", "context_length", "vocab_size"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))
        if getattr(model, "text_projection", 0) is None:
            self.text_projection = None
        self.eval()

    def forward(self, text: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features of length 1."""
        return {"text_features": _unit(self.kind.encode_text(self, text))}


class ZeroShotClassifier(ImageTower):
    """The image tower with the features of prompts as its last layer: ``image`` -> ``scores`` (batch, prompts).

    What `onnx_lab.pair.ClipPair.zero_shot` makes of files, in PyTorch.
    """

    def __init__(self, model: torch.nn.Module, prompts: torch.Tensor) -> None:
        """`prompts` are tokens, int64 (prompts, context)."""
        super().__init__(model)
        with torch.no_grad():
            features = model.encode_text(prompts, normalize=True)
            weight = model.logit_scale.exp() * features.T
        bias = getattr(model, "logit_bias", None)
        self.register_buffer("weight", weight.clone())
        self.register_buffer("bias", torch.zeros(()) if bias is None else bias.detach().clone())

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits per image."""
        return {"scores": super().forward(image)["image_features"] @ self.weight + self.bias}


class HuggingFaceImageTower(torch.nn.Module):  # type: ignore[misc]
    """``pixel_values`` -> ``image_features``, of a Hugging Face CLIPModel."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_model, self.visual_projection = model.vision_model, model.visual_projection
        self.eval()

    def forward(self, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
        """What ``get_image_features`` gives, at length 1."""
        pooled = self.vision_model(pixel_values=pixel_values, return_dict=True).pooler_output
        return {"image_features": _unit(self.visual_projection(pooled))}


class HuggingFaceTextTower(torch.nn.Module):  # type: ignore[misc]
    """``input_ids``, ``attention_mask`` -> ``text_features``, of a Hugging Face CLIPModel."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text_model, self.text_projection = model.text_model, model.text_projection
        self.eval()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """What ``get_text_features`` gives, at length 1."""
        pooled = self.text_model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True).pooler_output
        return {"text_features": _unit(self.text_projection(pooled))}


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Each row at length 1. ``functional.normalize`` would clip the length at 1e-12, which float16 does not hold."""
    return features / features.norm(dim=-1, keepdim=True)

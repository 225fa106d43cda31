"""The small CLIP of the sample: open_clip's own classes with a small config, and its checkpoint.

Captions of scenes use some sixty of CLIP's 49,408 tokens and half of the 32 positions. Only these are trained, in a
model that has no others, and only these lie in the checkpoint (float16). The full model takes them in; its other tokens
and positions are drawn by a seed and say nothing to it.
"""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_lab._quiet import quiet

if TYPE_CHECKING:
    import torch

CHECKPOINT = Path(__file__).with_name("data") / "small_clip.safetensors"
#: Same keys as open_clip_config.json; ViT-B-32 has a width of 768, 12 layers, 224 pixels in patches of 32.
CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 6, "width": 128, "head_width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 3},
}
_ROWS, _POSITIONS, _TOKENS = "token_embedding.weight", "positional_embedding", "tokens"
_SEED = 0


def new_model(*, tokens: int | None = None, positions: int | None = None, seed: int = _SEED) -> Any:
    """An untrained open_clip.CLIP of the small config, or one with fewer tokens and positions of text."""
    import torch
    from open_clip.model import CLIP

    config = copy.deepcopy(CONFIG)
    config["text_cfg"]["vocab_size"] = tokens or config["text_cfg"]["vocab_size"]
    config["text_cfg"]["context_length"] = positions or config["text_cfg"]["context_length"]
    with torch.random.fork_rng(devices=[]):  # the caller's random state stays as it was
        torch.manual_seed(seed)
        return CLIP(**config).eval()


def load_model() -> Any:
    """The trained model, in float32 and in eval mode."""
    from safetensors.torch import load_file

    return with_trained(load_file(CHECKPOINT))


def with_trained(state: dict[str, torch.Tensor]) -> Any:
    """The full model with what was trained put in: rows of tokens and positions, and all other weights."""
    model = new_model()
    own = model.state_dict()
    new = {k: v.float() for k, v in state.items() if k not in (_ROWS, _POSITIONS, _TOKENS)}
    rows, positions = own[_ROWS].clone(), own[_POSITIONS].clone()
    rows[state[_TOKENS].long()] = state[_ROWS].float()
    positions[: len(state[_POSITIONS])] = state[_POSITIONS].float()
    model.load_state_dict({**new, _ROWS: rows, _POSITIONS: positions})
    return model


def trained_state(model: Any, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the checkpoint holds: the weights of the model that was trained, and which token each row stands for."""
    import torch

    return {
        **{k: v.detach().half().contiguous() for k, v in model.state_dict().items()},
        _TOKENS: tokens.to(torch.int32),
    }


@functools.cache
def tokenizer() -> Any:
    """open_clip's SimpleTokenizer: texts -> int64 (n, 32)."""
    with quiet("open_clip"):
        from open_clip.tokenizer import SimpleTokenizer

        return SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])


@functools.cache
def preprocess() -> Any:
    """open_clip's own transform for this model: PIL image -> float32 (3, 64, 64)."""
    with quiet("open_clip"):
        from open_clip.transform import image_transform

        return image_transform(CONFIG["vision_cfg"]["image_size"], is_train=False)

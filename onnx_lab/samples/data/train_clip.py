"""Trains the small CLIP of `onnx_lab.samples.clip` on drawn scenes and writes small_clip.safetensors beside this file.

    python -m onnx_lab.samples.data.train_clip [--out FILE]      # minutes on two cores

The loss is CLIP's with one change. In a batch of scenes with few words, a caption is often true of other pictures too,
and CLIP would push those apart. So the target of a picture is every caption of the batch that is true of it, in equal
shares, and the other way round:
    loss = (CE(scale * I T', P) + CE(scale * T I', P')) / 2,   P[i, j] ~ 1 where caption j is true of picture i
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab.samples import _scenes
from onnx_lab.samples._small_clip import CHECKPOINT, new_model, preprocess, tokenizer, trained_state, with_trained

if TYPE_CHECKING:
    import torch

SEED = 1
PICTURES, EPOCHS, BATCH = 12_000, 9, 200
POSITIONS = 18  # the longest caption has 17 tokens
LEARNING_RATE, WARM_UP, DECAY = 2e-3, 60, 0.1


def train(*, seed: int = SEED, pictures: int = PICTURES, epochs: int = EPOCHS) -> dict[str, torch.Tensor]:
    """The state of a trained model, as the checkpoint holds it; no scene it sees has a pair of `_scenes.UNSEEN`."""
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    started = time.monotonic()
    drawn = _scenes.scenes(_scenes.SEEN, pictures, seed=seed)
    images = torch.stack([preprocess()(_scenes.picture(s)) for s in drawn])
    tokens = torch.unique(tokenizer()([_scenes.caption(s, rng)[0] for s in drawn]))
    model = new_model(tokens=len(tokens), positions=POSITIONS, seed=seed).train()
    steps = epochs * (pictures // BATCH)
    optimizer, schedule = _optimizer(model, steps)
    for step in range(steps):
        if step % (pictures // BATCH) == 0:
            order = rng.permutation(pictures)
        chosen = order[step % (pictures // BATCH) * BATCH :][:BATCH]
        loss = _loss(model, tokens, images[chosen], [drawn[i] for i in chosen], rng)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, float(np.log(100)))
        if step % 20 == 0 or step == steps - 1:
            print(f"{step:5d} of {steps}  loss {loss.item():.3f}  {time.monotonic() - started:.0f} s", flush=True)
    return trained_state(model, tokens)


def _optimizer(model: Any, steps: int) -> tuple[Any, Any]:
    import torch

    plain = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    decayed = [p for n, p in model.named_parameters() if not (p.ndim < 2 or "embedding" in n)]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98))
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps, pct_start=WARM_UP / steps)


def _loss(
    model: Any, tokens: torch.Tensor, images: torch.Tensor, drawn: Sequence[_scenes.Scene], rng: np.random.Generator
) -> torch.Tensor:
    import torch
    from torch.nn import functional

    said = [_scenes.caption(s, rng) for s in drawn]
    true = torch.tensor(_true_of([_scenes.facts(s) for s in drawn], [words for _, words in said]))
    image = model.encode_image(images, normalize=True)
    # tokens by their number among those in use: their order is kept, so the end of a text is still its largest token
    ids = torch.searchsorted(tokens, tokenizer()([sentence for sentence, _ in said])[:, :POSITIONS].contiguous())
    text = model.encode_text(ids, normalize=True)
    scores = model.logit_scale.exp() * image @ text.T
    to_text = functional.cross_entropy(scores, true / true.sum(1, keepdim=True))
    to_image = functional.cross_entropy(scores.T, true.T / true.T.sum(1, keepdim=True))
    return (to_text + to_image) / 2


def _true_of(facts: Sequence[tuple[str, ...]], words: Sequence[tuple[str, ...]]) -> np.ndarray[Any, Any]:
    """1.0 where the words of caption j are all facts of scene i; a word that is not said is always true."""
    have, say = np.array(facts)[:, None], np.array(words)[None]
    return np.asarray(((have == say) | (say == "")).all(axis=2), np.float32)


def right(model: Any, pairs: Sequence[tuple[str, str]], prompts: Sequence[tuple[str, str]], count: int) -> float:
    """Share of `count` fresh scenes of `pairs` whose best prompt, out of `prompts`, is their own."""
    import torch

    drawn = _scenes.scenes(pairs, count, seed=10_000)
    with torch.inference_mode():
        image = model.encode_image(torch.stack([preprocess()(_scenes.picture(s)) for s in drawn]), normalize=True)
        text = model.encode_text(tokenizer()([_scenes.prompt(*p) for p in prompts]), normalize=True)
    best = (image @ text.T).argmax(1).tolist()
    return float(np.mean([prompts[b] == (s.colour, s.shape) for b, s in zip(best, drawn, strict=True)]))


def main() -> None:
    """Train, say how right it is, write the checkpoint."""
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=CHECKPOINT)
    out: Path = parser.parse_args().out
    state = train()
    save_file(state, out)
    model = with_trained(state)
    everything = (*_scenes.SEEN, *_scenes.UNSEEN)
    for name, pairs, prompts in (
        ("seen pairs among all 64", _scenes.SEEN, everything),
        ("unseen pairs among all 64", _scenes.UNSEEN, everything),
        ("unseen pairs among the 16", _scenes.UNSEEN, _scenes.UNSEEN),
    ):
        print(f"{name}: {right(model, pairs, prompts, 640):.1%} right")
    print(f"{out.name}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

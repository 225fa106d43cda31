"""The head of the BERT sample: pooler and classifier, trained on frozen states of the pretrained encoder.

With h the last state of the first token, standardized as z = (h - mean) / s on the training texts, dimension by
dimension:
    logits = C tanh(P z + p) + c,   minimized: cross entropy with smoothed labels and dropout, by AdamW
P starts as the pretrained pooler. The standardization is folded into P and p, so what is left are the two layers that
a `BertForSequenceClassification` has.

s has a floor. Three of MiniLM's 384 dimensions never move; divided by their own spread they would leave weights of
57,000 in P, which change nothing in float32 and make everything else vanish in int8: measured, 94 % right becomes 23 %.
With the floor, the largest weight is 0.3 and int8 keeps the answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab._onnxfile import file_digest
from onnx_lab.samples._docstrings import Docstrings, Split

if TYPE_CHECKING:
    import torch

#: Name in a `BertForSequenceClassification` -> value.
Head = dict[str, "torch.Tensor"]

MAX_LENGTH = 96
#: The folder with the head of seed 0, made by ``data/train_bert_head.py``.
SHIPPED = Path(__file__).parent / "data"
_FORMAT = "first token, 2"  # part of the cache's key: change it with the recipe above
_KEYS = ("bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias")
_STEPS, _BATCH, _DROPOUT = 300, 256, 0.5
_LEARNING_RATE, _DECAY, _SMOOTHING = 1e-3, 0.1, 0.1
_FLOOR = 0.25  # of the median spread
_TEXTS_AT_ONCE = 64


def trained_head(model: Any, tokenizer: Any, weights: Path, data: Docstrings, seed: int) -> Head:
    """The four tensors of pooler and classifier: from this package, from the workspace, or trained now.

    Training takes about a minute on two cores. A file is named by what it depends on: the weights, the texts, the
    seed, the recipe above; the one in this package is that of seed 0. They are safetensors files: nothing is
    unpickled. `model` is only read.
    """
    from safetensors.torch import save_file

    recipe = f"{_FORMAT}:{file_digest([weights])}:{data.digest}:{seed}"
    name = f"bert-head-{hashlib.sha256(recipe.encode()).hexdigest()[:32]}.safetensors"
    file = workspace.root() / "samples" / name
    if kept := _kept(SHIPPED / name, set(_KEYS)) or _kept(file, set(_KEYS)):
        return kept
    head = trained(model, tokenizer, data, seed)
    with workspace.scratch() as folder:
        save_file(head, folder / file.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        (folder / file.name).replace(file)
    return head


def trained(model: Any, tokenizer: Any, data: Docstrings, seed: int) -> Head:
    """The four tensors, trained now."""
    return _trained(model.bert.pooler.dense, _states(model.bert, tokenizer, data.train.texts), data.train, seed)


def _kept(file: Path, names: set[str]) -> Head | None:
    """What the file holds; one that is damaged counts as none and is written anew."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = dict(load_file(file))
    except (OSError, SafetensorError):
        return None
    return tensors if set(tensors) == names else None


def _states(encoder: Any, tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """The first token's last state, ``(len(texts), hidden)``; texts of like length go together: little is padded."""
    import torch

    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    states = torch.empty(len(texts), encoder.config.hidden_size)
    with torch.inference_mode():
        for start in range(0, len(order), _TEXTS_AT_ONCE):
            chosen = order[start : start + _TEXTS_AT_ONCE]
            chunk = [texts[i] for i in chosen]
            made = tokenizer(chunk, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
            states[chosen] = encoder(**made).last_hidden_state[:, 0]
    return states


def _trained(old: Any, states: torch.Tensor, train: Split, seed: int) -> Head:
    import torch

    labels = torch.tensor(train.labels)
    mean, spread = states.mean(0), states.std(0)
    spread = spread.clamp(min=float(spread.median()) * _FLOOR)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():  # the caller's random state stays as it was
        torch.manual_seed(seed)
        pooler = torch.nn.Linear(states.shape[1], states.shape[1])
        classifier = torch.nn.Linear(states.shape[1], int(labels.max()) + 1)
        with torch.no_grad():
            pooler.weight.copy_(old.weight * spread)
            pooler.bias.copy_(old.bias + old.weight @ mean)
        _descend(pooler, classifier, (states - mean) / spread, labels)
    folded = pooler.weight.detach() / spread
    values = (folded, pooler.bias.detach() - folded @ mean, classifier.weight.detach(), classifier.bias.detach())
    return {k: v.contiguous() for k, v in zip(_KEYS, values, strict=True)}


def _descend(pooler: Any, classifier: Any, states: torch.Tensor, labels: torch.Tensor) -> None:
    import torch
    from torch.nn import functional

    parameters = [*pooler.parameters(), *classifier.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        chosen = torch.randint(len(labels), (_BATCH,))
        hidden = torch.tanh(pooler(functional.dropout(states[chosen], _DROPOUT)))
        scores = classifier(functional.dropout(hidden, _DROPOUT))
        loss = functional.cross_entropy(scores, labels[chosen], label_smoothing=_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

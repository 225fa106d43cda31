"""A real pretrained BERT with a trained head, real English text, and what accuracy means for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab._memory import give_memory_back
from onnx_lab._quiet import quiet, without_loading_bars
from onnx_lab.card import Card, Shown
from onnx_lab.errors import missing
from onnx_lab.samples._docstrings import read_docstrings
from onnx_lab.samples._head import MAX_LENGTH, trained_head
from onnx_lab.samples._weights import find_weights
from onnx_lab.task import Feeds, Task

if TYPE_CHECKING:
    import torch

_BATCH = 16
_CALIBRATION_TEXTS = 128
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, repr=False, eq=False)
class BertSample(Shown):
    """What `bert` returns.

    Attributes
    ----------
    model : transformers.BertForSequenceClassification
        all-MiniLM-L6-v2 (6 layers, 22 M weights) under a trained pooler and classifier, in eval mode.
    tokenizer : transformers.PreTrainedTokenizerFast
        Its fast tokenizer.
    task : Task
        Held-out texts with labels, in batches of 16 texts of like length (a third less padding to compute); the
        batches come in a random order that is always the same, so ``task.take(n)`` is a fair sample.
    calibration : list of Feeds
        Batches of training texts; none of them is held out.
    texts : tuple of str
        The held-out texts, in the order of the Task.
    classes : tuple of str
        What a text may be about.
    source : str
        Which weights are in use.
    """

    model: Any
    tokenizer: Any
    task: Task
    calibration: list[Feeds]
    texts: tuple[str, ...]
    classes: tuple[str, ...]
    source: str

    @property
    def encoder(self) -> Any:
        """The bare ``BertModel`` below the head: tokens in, hidden states out."""
        return self.model.bert

    @cached_property
    def embedder(self) -> torch.nn.Module:
        """The encoder with masked mean pooling, as the weights were trained for: one sentence embedding per text.

        Takes the same three inputs, returns ``(batch, 384)`` float32.
        """
        from onnx_lab.samples._pooled import MeanPooledBert

        return MeanPooledBert(self.model.bert)

    def batches(self, texts: str | Sequence[str], *, batch: int = _BATCH, max_length: int = MAX_LENGTH) -> list[Feeds]:
        """Texts as Feeds: int64 ids, mask and token types, padded to the longest text of each batch."""
        return _batches(self.tokenizer, [texts] if isinstance(texts, str) else texts, batch, max_length)

    def _card(self) -> Card:
        size = sum(p.numel() for p in self.model.parameters())
        layers = self.model.config.num_hidden_layers
        rows = [
            ("model", f"{type(self.model).__name__}, {layers} layers, {size / 1e6:.1f} M weights"),
            ("weights", self.source),
            ("task", f"{len(self.task)} held-out texts, classes: {', '.join(self.classes)}"),
            ("brings", ".model .tokenizer .task .calibration .texts .encoder .embedder .batches()"),
        ]
        return Card("BERT sample", rows)


def bert(folder: str | Path | None = None, *, seed: int = 0, offline: bool | None = None) -> BertSample:
    """A real pretrained BERT as a text classifier, its tokenizer, a Task on real text, and calibration feeds.

    The weights are all-MiniLM-L6-v2: from `folder`, else the local hub cache, else the hub, else the package of the
    extra ``[offline]``. The head on top was trained on frozen features and comes with this package; for another `seed`
    or other weights it is trained the first time (about a minute), and kept in the workspace.

    Parameters
    ----------
    folder : str or Path, optional
        A model folder in the hub's layout (config.json, model.safetensors, tokenizer.json).
    seed : int, default 0
        Of the head's training: its first classifier, its batches, its dropout.
    offline : bool, optional
        True: never ask the hub. Default: what ``HF_HUB_OFFLINE`` says.

    Returns
    -------
    BertSample

    Raises
    ------
    MissingExtra
        Without transformers, or when no weights can be found.
    BadInput
        When `folder` is no model folder.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> sample = lab.samples.bert(offline=True)            # doctest: +SKIP
    >>> sample.task                                        # doctest: +SKIP
    Task('what a docstring is about': 1011 samples, 5 classes)
    """
    try:
        with quiet("transformers"):
            from transformers import AutoTokenizer, BertForSequenceClassification
    except ImportError:
        raise missing("transformers", "torch") from None
    weights, data = find_weights(folder, offline=offline), read_docstrings()
    # it warns that the classifier is new: it is, and is trained below
    with quiet("transformers"), without_loading_bars():
        tokenizer = AutoTokenizer.from_pretrained(weights.folder, local_files_only=True)
        model = BertForSequenceClassification.from_pretrained(
            weights.folder,
            local_files_only=True,
            num_labels=len(data.classes),
            id2label=dict(enumerate(data.classes)),
            label2id={c: i for i, c in enumerate(data.classes)},
        ).eval()
    head = trained_head(model, tokenizer, weights.folder / "model.safetensors", data, seed)
    model.load_state_dict(head, strict=False)
    order = _by_length(tokenizer, data.test.texts)
    texts = tuple(data.test.texts[i] for i in order)
    labels = np.array(data.test.labels, np.int64)[order]
    task = Task("what a docstring is about", _batches(tokenizer, texts, _BATCH, MAX_LENGTH), labels, data.classes)
    calibration = _batches(tokenizer, data.train.texts[:_CALIBRATION_TEXTS], _BATCH, MAX_LENGTH)
    give_memory_back()  # of the training, and of the weights as they were read
    return BertSample(model, tokenizer, task, calibration, texts, data.classes, weights.source)


def bert_base(*, num_labels: int = 4, seed: int = 0) -> Any:
    """A full-size BERT-base classifier (12 layers, 110 M weights) from its config, with random weights.

    Serves for size and speed; its answers mean nothing.

    Parameters
    ----------
    num_labels : int, default 4
    seed : int, default 0
        Of the weights: the same seed gives the same model.

    Returns
    -------
    transformers.BertForSequenceClassification
        In eval mode.

    Raises
    ------
    MissingExtra
        Without transformers.
    """
    try:
        import torch
        from transformers import BertConfig, BertForSequenceClassification
    except ImportError:
        raise missing("transformers", "torch") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForSequenceClassification(BertConfig(num_labels=num_labels)).eval()


def _by_length(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """An order in which each batch holds texts of like length, and the batches are shuffled."""
    lengths = [len(ids) for ids in tokenizer(list(texts), truncation=True, max_length=MAX_LENGTH)["input_ids"]]
    ranked = np.argsort(lengths, kind="stable")
    # the last batch may be short, and has to stay the last one
    whole = len(ranked) // _BATCH * _BATCH
    shuffled = np.random.default_rng(0).permutation(ranked[:whole].reshape(-1, _BATCH)).reshape(-1)
    return [*shuffled.tolist(), *ranked[whole:].tolist()]


def _batches(tokenizer: Any, texts: Sequence[str], batch: int, max_length: int) -> list[Feeds]:
    def feeds(chunk: Sequence[str]) -> Feeds:
        made = tokenizer(list(chunk), padding=True, truncation=True, max_length=max_length, return_tensors="np")
        return {k: np.asarray(made[k], np.int64) for k in _INPUTS}

    return [feeds(texts[i : i + batch]) for i in range(0, len(texts), batch)]

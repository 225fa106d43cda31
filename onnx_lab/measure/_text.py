"""Text as feeds: what comes in as text, what a tokenizer makes of it, and what was cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.task import Feeds


class Tokenizer(Protocol):
    """What is asked of a tokenizer: the call of Hugging Face's."""

    def __call__(self, text: list[str], **options: Any) -> Mapping[str, Any]:
        """Token ids and masks for each text."""


def texts_in(feeds: Feeds | str | Sequence[str]) -> tuple[str, ...]:
    """The texts among what was given as feeds; none for a dict of arrays."""
    if isinstance(feeds, str):
        return (feeds,)
    if isinstance(feeds, Mapping):
        return ()
    if not isinstance(feeds, Sequence) or not feeds or not all(isinstance(t, str) for t in feeds):
        raise BadInput(
            f"feeds of type {type(feeds).__name__}",
            accepted="a dict of arrays by input name, texts, or pictures",
        )
    return tuple(feeds)


def tokenized(m: Model, texts: tuple[str, ...], tokenizer: Tokenizer | None, max_length: int) -> Feeds:
    """One batch of what the tokenizer gives, in the names, order and dtypes of the inputs of `m`."""
    if tokenizer is None:
        raise BadInput(
            "text without a tokenizer",
            accepted="arrays for " + "; ".join(map(str, m.inputs)),
            do="lab.infer(m, text, tokenizer=AutoTokenizer.from_pretrained(...)), or bert.tokenizer of the sample",
        )
    if not callable(tokenizer):
        raise BadInput(f"a {type(tokenizer).__name__} as tokenizer", accepted="Hugging Face's, or one called like it")
    limit = getattr(tokenizer, "model_max_length", None)  # a huge number where the tokenizer does not know
    if isinstance(limit, int) and max_length > limit:
        raise BadInput(
            f"max_length={max_length}",
            accepted=f"up to {limit} tokens, as the tokenizer says of its model",
            do="cut the text into pieces",
        )
    wanted = {s.name: s for s in m.inputs}
    length = fixed_length(m)
    options = {"padding": "max_length", "max_length": length} if length else {"padding": True, "max_length": max_length}
    made = tokenizer(list(texts), truncation=True, return_tensors="np", **options)
    if absent := [n for n in wanted if n not in made]:
        raise BadInput(
            f"the tokenizer gives {', '.join(made)}",
            accepted="; ".join(map(str, m.inputs)),
            do=f"feed {absent} yourself",
        )
    return {n: np.asarray(made[n]).astype(s.dtype) for n, s in wanted.items()}


def fixed_length(m: Model) -> int | None:
    """The one number of tokens that a model with fixed shapes takes; None where it takes any."""
    lengths = {s.shape[1] for s in m.inputs if len(s.shape) == 2 and s.dtype.startswith("int")}
    only = lengths.pop() if len(lengths) == 1 else None
    return only if isinstance(only, int) else None


def cut_texts(texts: tuple[str, ...], arrays: Feeds, max_length: int) -> Iterator[str]:
    """A sentence when texts fill all tokens that there are: most likely they were longer."""
    mask = arrays.get("attention_mask")
    if texts and mask is not None and mask.ndim == 2 and (full := int((mask.sum(axis=1) >= max_length).sum())):
        yield f"{full} of {len(texts)} texts fill all {max_length} tokens: what is longer was cut (max_length=...)"

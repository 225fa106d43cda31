"""Pairs of towers at work: pictures against prompts, features for other uses, and a zero-shot head as one Model."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_lab.errors import BadInput
from onnx_lab.feeds import check_feeds
from onnx_lab.measure._answers import Answers
from onnx_lab.measure._finite import refuse_nan
from onnx_lab.measure._pictures import is_picture, pictures_in, prepared, thumbnail
from onnx_lab.measure._text import cut_texts, tokenized
from onnx_lab.model import LABELS_KEY, Model
from onnx_lab.pair import IMAGE_FEATURES, SCORES, TEXT_FEATURES, ClipPair
from onnx_lab.produce import Made, produce
from onnx_lab.runtime.client import session
from onnx_lab.runtime.target import Target
from onnx_lab.task import Feeds

#: Pictures or texts that go through a tower at once.
_BATCH = 32
_SHOWN = 8
Features = npt.NDArray[np.generic]


def answers(
    pair: ClipPair,
    feeds: Any,
    prompts: Sequence[str] | None,
    tokenizer: Any,
    preprocess: Any,
    target: Target | str | None,
) -> tuple[Answers, npt.NDArray[np.float64] | None, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What a pair says to pictures and prompts, to pictures alone, or to texts alone.

    Returns
    -------
    tuple
        Outputs by name, probabilities ``(pictures, prompts)`` or None, texts, notes, thumbnails.
    """
    if prompts is None and preprocess is None and _is_text(feeds):
        texts = _prompts(feeds)
        arrays, notes = tokens(pair, texts, tokenizer)
        return {TEXT_FEATURES: _run(pair.text, arrays, target, TEXT_FEATURES)}, None, texts, notes, ()
    asked = None if prompts is None else _prompts(prompts)
    if asked and tokenizer is None:
        raise _no_tokenizer(pair)
    arrays, thumbnails = _pictures(pair, feeds, preprocess)
    image = _run(pair.image, arrays, target, IMAGE_FEATURES)
    if asked is None:
        return {IMAGE_FEATURES: image}, None, (), (), thumbnails
    arrays, notes = tokens(pair, asked, tokenizer)
    text = _run(pair.text, arrays, target, TEXT_FEATURES)
    scores = pair.logit_scale * image.astype(np.float32) @ text.astype(np.float32).T + (pair.logit_bias or 0.0)
    outputs = {SCORES: scores.astype(np.float32), IMAGE_FEATURES: image, TEXT_FEATURES: text}
    return outputs, probabilities(pair, scores), (), (*notes, *_sigmoid_note(pair)), thumbnails


def probabilities(pair: ClipPair, scores: Features) -> npt.NDArray[np.float64]:
    """Softmax over the prompts; for a model with a bias (SigLIP) the sigmoid of each score, as it was trained."""
    x = scores.astype(np.float64)
    if pair.logit_bias is not None:
        return np.asarray(1 / (1 + np.exp(-x.clip(-700, 700))))
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def tokens(pair: ClipPair, texts: tuple[str, ...], tokenizer: Any) -> tuple[Feeds, tuple[str, ...]]:
    """Texts as feeds of the text tower, and a sentence when some fill all the tokens that there are.

    Raises
    ------
    BadInput
        Without a tokenizer, or with one whose tokens the tower does not take.
    """
    if tokenizer is None:
        raise _no_tokenizer(pair)
    if not callable(tokenizer):
        raise BadInput(f"a {type(tokenizer).__name__} as tokenizer", accepted="open_clip's, or Hugging Face's")
    if len(pair.text.inputs) > 1 or hasattr(tokenizer, "model_max_length"):
        made = tokenized(pair.text, texts, tokenizer, pair.context_length)
        return made, tuple(cut_texts(texts, made, pair.context_length))
    (spec,) = pair.text.inputs
    rows = _rows(tokenizer([*texts, ""]))
    feeds: Feeds = {spec.name: rows[:-1].astype(spec.dtype)}
    check_feeds(pair.text.inputs, feeds)
    # the empty text ends in padding; a text that does not has filled its row
    full = int((rows[:-1, -1] != rows[-1, -1]).sum())
    said = f"{full} of {len(texts)} texts fill all {pair.context_length} tokens: what is longer was cut"
    return feeds, (said,) if full else ()


def head(
    pair: ClipPair,
    prompts: Sequence[str] | Sequence[Sequence[str]],
    classes: Sequence[str] | None,
    tokenizer: Any,
    name: str | None,
) -> Model:
    """See `onnx_lab.pair.ClipPair.zero_shot`."""
    groups = _groups(prompts)
    labels = tuple(classes) if classes is not None else tuple(g[0] for g in groups)
    if len(labels) != len(groups):
        raise BadInput(f"{len(labels)} classes for {len(groups)} prompts", accepted="one prompt for each class")
    texts = tuple(t for g in groups for t in g)
    feeds, notes = tokens(pair, texts, tokenizer)
    asked = hashlib.sha256(b"".join(np.ascontiguousarray(v).tobytes() for v in feeds.values())).hexdigest()
    options = {
        "classes": len(labels),
        "prompts": hashlib.sha256(json.dumps([groups, labels, asked]).encode()).hexdigest()[:12],
        "text_tower": pair.text.digest[:12],
        "logit_scale": round(pair.logit_scale, 6),
        **({} if pair.logit_bias is None else {"logit_bias": round(pair.logit_bias, 6)}),
    }

    def body() -> Made:
        features = _run(pair.text, feeds, None, TEXT_FEATURES).astype(np.float32)
        weights = pair.logit_scale * _means(features, [len(g) for g in groups])
        say = [f"{len(labels)} classes in the last layer, from {len(texts)} prompts: {_listed(texts)}", *notes]
        return Made(
            _with_layer(pair.image, weights.T, pair.logit_bias),
            {"say": say, "prompts": [list(g) for g in groups]},
            {LABELS_KEY: json.dumps(labels)},
        )

    tools = ["onnx-lab", "onnx-ir", "onnxruntime", "onnxruntime-gpu"]
    return produce(
        "zero_shot", options, body, tools=tools, name=name or f"{pair.image.name}-zero-shot", parent=pair.image
    )


def _with_layer(tower: Model, weights: npt.NDArray[np.float32], bias: float | None) -> Any:
    """The image tower with a product (and a bias) behind its features: the one output is ``scores``."""
    import onnx_ir as ir

    model = tower.to_ir()
    ir.external_data.load_to_model(model)
    features = next((v for v in model.graph.outputs if v.name == IMAGE_FEATURES), model.graph.outputs[0])
    dtype = features.dtype or ir.DataType.FLOAT
    added: list[Any] = []

    def constant(name: str, array: npt.NDArray[Any]) -> Any:
        value = ir.Value(name=name, const_value=ir.tensor(array.astype(dtype.numpy()), name=name))
        model.graph.register_initializer(value)
        return value

    def node(op: str, *inputs: Any) -> Any:
        made = ir.node(op, list(inputs), name=f"zero_shot/{op.lower()}")
        added.append(made)
        return made.outputs[0]

    scores = node("MatMul", features, constant("zero_shot.weight", weights))
    if bias is not None:
        scores = node("Add", scores, constant("zero_shot.bias", np.array(bias)))
    batch = features.shape[0] if features.shape is not None else None
    scores.name, scores.dtype, scores.shape = "scores", dtype, ir.Shape([batch, weights.shape[1]])
    model.graph.extend(added)
    model.graph.outputs[:] = [scores]
    return model


def _run(tower: Model, arrays: Feeds, target: Target | str | None, output: str) -> Features:
    """The features of all rows, some at a time; refuses NaN."""
    engine = session(tower, target)
    count = len(next(iter(arrays.values())))
    parts = []
    for i in range(0, count, _BATCH):
        chunk = {k: v[i : i + _BATCH] for k, v in arrays.items()}
        parts.append(engine.run(chunk))
        refuse_nan(tower, parts[-1], chunk)
    name = output if output in parts[0] else next(iter(parts[0]))
    return np.concatenate([p[name] for p in parts])


def _pictures(pair: ClipPair, feeds: Any, preprocess: Any) -> tuple[Feeds, tuple[str, ...]]:
    if isinstance(feeds, Mapping):
        check_feeds(pair.image.inputs, feeds)
        return dict(feeds), ()
    if not is_picture(feeds) and preprocess is None:
        raise BadInput(
            f"{type(feeds).__name__} as pictures, without preprocess=",
            accepted=f"pictures with preprocess=, or arrays for {pair.image.inputs[0]}",
            do="preprocess=sample.preprocess, or the transform of open_clip.create_model_and_transforms",
        )
    pictures = pictures_in(feeds)
    return prepared(pair.image, pictures, preprocess), tuple(thumbnail(p) for p in pictures[:_SHOWN])


def _is_text(feeds: Any) -> bool:
    return isinstance(feeds, str) or (
        isinstance(feeds, (list, tuple)) and bool(feeds) and all(isinstance(f, str) for f in feeds)
    )


def _prompts(given: Any) -> tuple[str, ...]:
    texts = (given,) if isinstance(given, str) else tuple(given)
    if not texts:
        raise BadInput("no prompt at all", accepted="one text for each thing that may be in the picture")
    for t in texts:
        if not isinstance(t, str) or not t.strip():
            raise BadInput(f"prompt {t!r}", accepted="a text with at least one word", do='"a photo of a cat"')
    return texts


def _groups(prompts: Any) -> tuple[tuple[str, ...], ...]:
    given = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    if not given:
        _prompts(given)
    return tuple(_prompts(g) for g in given)


def _means(features: npt.NDArray[np.float32], counts: Sequence[int]) -> npt.NDArray[np.float32]:
    """The mean of each class's features, at length 1 again."""
    ends = np.cumsum([0, *counts])
    means = np.stack([features[a:b].mean(axis=0) for a, b in itertools.pairwise(ends)])
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)


def _rows(made: Any) -> npt.NDArray[Any]:
    made = made["input_ids"] if isinstance(made, Mapping) else made
    return np.asarray(made.detach().cpu() if hasattr(made, "detach") else made)


def _no_tokenizer(pair: ClipPair) -> BadInput:
    return BadInput(
        "prompts without a tokenizer",
        accepted=f"the tokenizer of this very model, for {'; '.join(map(str, pair.text.inputs))}",
        do="tokenizer=sample.tokenizer, or open_clip.get_tokenizer(name)",
    )


def _sigmoid_note(pair: ClipPair) -> Iterator[str]:
    if pair.logit_bias is not None:
        yield "each probability stands for itself (a sigmoid): those of a picture need not add up to one"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:3]) + (", ..." if len(texts) > 3 else "")

"""infer: what a model answers. Arrays in, arrays out; text and pictures in, labelled probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_lab._a_model import check_model
from onnx_lab.card import Card, Table
from onnx_lab.errors import BadInput
from onnx_lab.measure._answers import Answers
from onnx_lab.measure._finite import infinite, refuse_nan
from onnx_lab.measure._pictures import Preprocess, is_picture, pictures_in, prepared, thumbnail
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.measure._text import Tokenizer, cut_texts, fixed_length, texts_in, tokenized
from onnx_lab.model import Model, TensorSpec
from onnx_lab.pair import ClipPair
from onnx_lab.runtime.client import session
from onnx_lab.runtime.target import Target
from onnx_lab.task import Feeds

_ROWS_SHOWN = 8
_TEXT_SHOWN = 60


@dataclass(frozen=True, repr=False)
class Inference(Result):
    """What a model answered.

    Attributes
    ----------
    outputs : dict of str to ndarray
        All outputs by name.
    probabilities : array of float64, shape (batch, classes), or None
        Softmax of the first output whose columns are as many as the class names, when these are known; the output
        itself where its rows are probabilities already.
    classes : tuple of str
        Class names, from the file or from `labels`.
    texts : tuple of str
        The texts that were asked, when there were any.
    notes : tuple of str
        What the reader should know: texts that were cut, values that are infinite.
    pictures : tuple of str
        Small copies of the pictures that were asked, when there were any, as ``data:`` addresses.
    """

    model: str
    target: str
    outputs: Answers
    probabilities: npt.NDArray[np.float64] | None
    classes: tuple[str, ...]
    texts: tuple[str, ...]
    notes: tuple[str, ...]
    machine: Machine
    pictures: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The most probable class of each sample; empty without probabilities."""
        if self.probabilities is None:
            return ()
        return tuple(self.classes[i] for i in self.probabilities.argmax(axis=1))

    def _records(self) -> list[dict[str, Any]]:
        if self.probabilities is None:
            return [{"output": k, "dtype": str(v.dtype), "shape": v.shape} for k, v in self.outputs.items()]
        texts: tuple[str, ...] = self.texts or tuple(f"sample {i}" for i in range(len(self.probabilities)))
        rows = zip(texts, self.labels, self.probabilities, strict=True)
        return [_labelled(t, k, dict(zip(self.classes, p.tolist(), strict=True))) for t, k, p in rows]

    def _card(self) -> Card:
        title = f"{self.model} on {self.target}"
        if self.probabilities is None:
            return Card(title, [(k, _summary(v)) for k, v in self.outputs.items()], notes=self.notes)
        if len(self.probabilities) == 1:
            order = np.argsort(-self.probabilities[0])[:_ROWS_SHOWN]
            ranked = tuple((self.classes[i], f"{self.probabilities[0][i]:.1%}") for i in order)
            asked = [("asked", _cut(t)) for t in self.texts]
            table = Table(("class", "probability"), ranked, "", {(0, 0): "good"})
            return Card(title, asked, [table], self.notes, [(p, "") for p in self.pictures])
        records = self._records()[:_ROWS_SHOWN]
        cells = tuple((_cut(str(r["sample"])), str(r["label"]), f"{r[r['label']]:.1%}") for r in records)
        rest = len(self.probabilities) - len(records)
        notes = [*self.notes, *[f"{rest} more samples; .to_pandas() has them all"] * bool(rest)]
        shown = [(p, f"{c[0]}: {c[1]}") for p, c in zip(self.pictures, cells, strict=False)]
        return Card(title, (), [Table(("sample", "answer", "probability"), cells)], notes, shown)


def infer(
    m: Model | ClipPair,
    feeds: Feeds | str | Sequence[str] | Any,
    *,
    target: Target | str | None = None,
    tokenizer: Tokenizer | None = None,
    preprocess: Preprocess | None = None,
    prompts: Sequence[str | Sequence[str]] | None = None,
    labels: Sequence[str] | None = None,
    max_length: int = 128,
    allow_nan: bool = False,
) -> Inference:
    """What a model answers to feeds, to text, or to pictures.

    Parameters
    ----------
    m : Model or ClipPair
        Runs in a child process that is kept for the next call. A pair takes pictures and `prompts`; without prompts
        it gives the features alone, of pictures or of texts.
    feeds : dict of str to array, str, Path, picture, or a list of these
        Arrays by input name; lists are taken where nothing is lost by it. Text needs a `tokenizer`. A picture is a
        path, a PIL image, or ``uint8[height, width, 3]``, and needs `preprocess`.
    target : str or Target, optional
        Default: the CPU provider.
    tokenizer : callable, optional
        Hugging Face's, or one that is called the same way.
    preprocess : callable, optional
        PIL image -> one array without the batch axis: open_clip's or torchvision's transform, a processor of Hugging
        Face, the ``.preprocess`` of a sample.
    prompts : sequence of str, optional
        For a pair: what may be in the pictures, in words. Each is a column of ``.probabilities``.
    labels : sequence of str, optional
        Class names. Default: those that the file carries.
    max_length : int, default 128
        Tokens kept of each text. A model with a fixed sequence length takes that many, whatever is said here.
    allow_nan : bool, default False
        Return outputs that hold NaN instead of raising.

    Returns
    -------
    Inference
        ``.outputs``; with class names also ``.probabilities`` and ``.labels``. Of a pair the outputs are
        ``image_features``, ``text_features`` (both of length 1) and ``logits_per_image``.

    Raises
    ------
    BadInput
        Wrong name, dtype, rank or fixed dimension; text without a tokenizer; a file that is no picture, a picture
        without `preprocess` or of another size.
    BadModel
        Outputs that hold NaN, unless `allow_nan`.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> lab.infer(m, {"x": np.zeros((2, 8), np.float32)}).outputs["logits"].shape
    (2, 4)
    >>> len(lab.infer(m, {"x": [[0.5] * 8]}, labels=["a", "b", "c", "d"]).labels)
    1
    """
    if isinstance(m, ClipPair):
        return _of_pair(m, feeds, prompts, labels, target, tokenizer, preprocess)
    check_model(m)
    if prompts is not None:
        raise BadInput(f"prompts for {m.name}, one Model", accepted="a ClipPair", do="lab.export(a CLIP) makes one")
    texts, pictures, arrays = _asked(m, feeds, tokenizer, preprocess, max_length)
    outputs = session(m, target).run(arrays)
    if not allow_nan:
        refuse_nan(m, outputs, arrays)
    classes = tuple(labels) if labels is not None else m.labels
    scores = next(
        (v for v in outputs.values() if v.ndim == 2 and v.shape[1] == len(classes) and v.dtype.kind == "f"), None
    )
    if labels is not None and scores is None:
        shapes = "; ".join(f"{k} {list(v.shape)}" for k, v in outputs.items())
        raise BadInput(f"{len(classes)} labels for an output of {shapes}", accepted="one label per column of scores")
    return Inference(
        m.name,
        str(Target.of(target)),
        outputs,
        None if scores is None else probabilities_of(scores),
        classes,
        texts,
        (*cut_texts(texts, arrays, fixed_length(m) or max_length), *infinite(outputs)),
        this_machine(),
        pictures,
    )


def _of_pair(
    pair: ClipPair, feeds: Any, prompts: Any, labels: Any, target: Target | str | None, tokenizer: Any, preprocess: Any
) -> Inference:
    from onnx_lab.measure._zero_shot import answers

    outputs, chances, texts, notes, pictures = answers(pair, feeds, prompts, tokenizer, preprocess, target)
    classes = () if chances is None else tuple(labels or ([prompts] if isinstance(prompts, str) else prompts))
    if chances is not None and len(classes) != chances.shape[1]:
        raise BadInput(f"{len(classes)} labels for {chances.shape[1]} prompts", accepted="one label for each prompt")
    on = str(Target.of(target))
    return Inference(pair.name, on, outputs, chances, classes, texts, notes, this_machine(), pictures)


def _asked(
    m: Model, feeds: Any, tokenizer: Tokenizer | None, preprocess: Preprocess | None, max_length: int
) -> tuple[tuple[str, ...], tuple[str, ...], Feeds]:
    """The texts and small pictures that were asked, and the arrays they become."""
    by_path = preprocess is not None and tokenizer is None and not isinstance(feeds, Mapping)
    if is_picture(feeds) or by_path:
        pictures = pictures_in(feeds)
        arrays = prepared(m, pictures, preprocess)
        return (), tuple(thumbnail(p) for p in pictures[:_ROWS_SHOWN]), arrays
    texts = texts_in(feeds)
    return texts, (), tokenized(m, texts, tokenizer, max_length) if texts else _arrays(m.inputs, feeds)


def _labelled(sample: str, label: str, probabilities: dict[str, float]) -> dict[str, Any]:
    return {"sample": sample, "label": label, **probabilities}


def _arrays(inputs: Sequence[TensorSpec], feeds: Any) -> Feeds:
    """Lists and scalars become arrays of the input's dtype when no value changes; arrays are left as they are."""
    wanted = {s.name: s for s in inputs}
    return {name: v if isinstance(v, np.ndarray) else _lossless(name, v, wanted.get(name)) for name, v in feeds.items()}


def _lossless(name: str, value: Any, spec: TensorSpec | None) -> npt.NDArray[np.generic]:
    if callable(getattr(value, "detach", None)):  # a PyTorch tensor: it has a dtype of its own, which is kept
        return np.asarray(value.detach().cpu())
    found = np.asarray(value)
    if spec is None or spec.dtype == "string":
        return found
    if found.dtype.kind in "OUS":
        raise BadInput(
            f"feed {name!r} of {type(value).__name__}: {_cut(repr(value))}",
            accepted=str(spec),
            do="an array of numbers; for text, infer(m, text, tokenizer=...)",
        )
    cast = found.astype(spec.dtype)
    # Python's floats are float64: rounding them to float32 is meant, losing a fraction to an integer is not
    kept = np.allclose(cast, found) if cast.dtype.kind == "f" else np.array_equal(cast, found)
    return cast if kept else found


def probabilities_of(scores: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Softmax of each row, ``(batch, classes)``; rows that are probabilities already stay as they are."""
    values = scores.astype(np.float64)
    if values.min(initial=0) >= 0 and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        return values
    x = values.clip(-1e300, 1e300)  # infinite scores stay the largest, without inf - inf
    e = np.exp(x - x.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float64] = e / e.sum(axis=1, keepdims=True)
    return result


def _summary(value: npt.NDArray[np.generic]) -> str:
    text = f"{value.dtype}{list(value.shape)}"
    if value.size and value.dtype.kind in "fiu":
        text += f", {value.min():.4g} to {value.max():.4g}"
    return text


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_SHOWN else text[: _TEXT_SHOWN - 1] + "…"

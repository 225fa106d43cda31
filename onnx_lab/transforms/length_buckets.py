"""buckets: one file for each of a few lengths, for engines of fixed shapes and texts that come in all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from onnx_lab._a_model import check_model
from onnx_lab.card import Card, Shown, Table, megabytes
from onnx_lab.errors import BadInput
from onnx_lab.feeds import axis_kind
from onnx_lab.model import Model
from onnx_lab.task import Feeds
from onnx_lab.transforms.fix_shapes import fix_shapes


@dataclass(frozen=True, repr=False)
class Buckets(Shown, Mapping[int, Model]):
    """Length in tokens -> the Model that takes exactly this length, shortest first.

    Attributes
    ----------
    models : mapping of int to Model
    axes : mapping of str to int
        Input -> its sequence axis.
    name : str
    """

    models: Mapping[int, Model]
    axes: Mapping[str, int]
    name: str

    def __getitem__(self, length: int) -> Model:
        return self.models[length]

    def __iter__(self) -> Iterator[int]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def fit(self, feeds: Feeds, *, pad: Mapping[str, int] | None = None) -> tuple[Model, Feeds]:
        """The Model of the shortest bucket that holds `feeds`, and the feeds filled up to its length.

        Added tokens have the mask 0, so that the answers stay; outputs with a row for each token have rows for the
        added ones too, at the end.

        Parameters
        ----------
        feeds : dict of str to array
            One batch; all of it has one length.
        pad : mapping of str to int, optional
            Input -> what added tokens are. Default 0; RoBERTa, for instance, has 1 in ``input_ids``.

        Returns
        -------
        (Model, dict of str to array)

        Raises
        ------
        BadInput
            When an input with a sequence axis is missing, lengths differ, or none of the buckets is long enough.
        """
        if missing := [n for n in self.axes if n not in feeds]:
            raise BadInput(f"feeds without {', '.join(missing)}", accepted=f"{', '.join(self.axes)}, one array each")
        lengths = {feeds[n].shape[axis] for n, axis in self.axes.items()}
        if len(lengths) > 1:
            raise BadInput(f"feeds of lengths {sorted(lengths)}", accepted="one length for all inputs")
        length = lengths.pop()
        bucket = next((b for b in self.models if b >= length), None)
        if bucket is None:
            raise BadInput(
                f"a length of {length}",
                accepted=f"at most {max(self.models)}",
                do=f"cut the texts, or lab.buckets(m, seq=(..., {length}))",
            )
        filled = {n: self._filled(n, np.asarray(v), bucket - length, (pad or {}).get(n, 0)) for n, v in feeds.items()}
        return self.models[bucket], filled

    def _filled(self, name: str, value: np.ndarray, more: int, with_: int) -> np.ndarray:
        if name not in self.axes or not more:
            return value
        widths = [(0, more if axis == self.axes[name] else 0) for axis in range(value.ndim)]
        return np.pad(value, widths, constant_values=0 if "mask" in name else with_)

    def _card(self) -> Card:
        rows = tuple((str(b), m.name, megabytes(m.size_bytes)) for b, m in self.models.items())
        total = sum(m.size_bytes for m in self.models.values())
        facts = [("together", megabytes(total)), ("use", "model, feeds = buckets.fit(feeds)")]
        return Card(f"{self.name}, one file for each length", facts, [Table(("tokens", "model", "size"), rows)])


def buckets(m: Model, *, batch: int | None = 1, seq: Sequence[int] = (32, 64, 128, 256, 512)) -> Buckets:
    """Fix the shapes of `m` at several lengths: short texts then do not pay for long ones, and no shape is dynamic.

    Each file is checked against `m` at its size, as `onnx_lab.fix_shapes` does. Worth it where an engine compiles for
    one shape (OpenVINO, TensorRT, phones); on ONNX Runtime's CPU provider an optimized BERT gains nothing.

    Parameters
    ----------
    m : Model
        With a dynamic sequence axis and an attention mask.
    batch : int or None, default 1
        As in `onnx_lab.fix_shapes`.
    seq : sequence of int, default (32, 64, 128, 256, 512)
        Lengths in tokens.

    Returns
    -------
    Buckets

    Raises
    ------
    BadInput
        For a model without a sequence axis or without a mask, one optimized for texts without padding, or a length
        at which it does not run.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> from transformers import BertConfig, BertModel
    >>> sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    >>> lengths = lab.buckets(lab.export(BertModel(BertConfig(**sizes)), name="small"), seq=(16, 32))
    >>> words = np.ones((1, 20), np.int64)
    >>> texts = {"input_ids": words, "attention_mask": words, "token_type_ids": 0 * words}
    >>> model, feeds = lengths.fit(texts)
    >>> model.name, feeds["attention_mask"].sum(), lab.infer(model, feeds).outputs["last_hidden_state"].shape
    ('small-32', np.int64(20), (1, 32, 32))
    """
    check_model(m)
    lengths = sorted(set(seq))
    if not lengths:
        raise BadInput("no length", accepted="one or more, such as seq=(32, 128)")
    axes = {
        s.name: axis
        for s in m.inputs
        for axis, dim in enumerate(s.shape)
        if not isinstance(dim, int) and axis_kind(s, axis) == "sequence"
    }
    if not axes:
        raise BadInput(f"{m.name} has no dynamic sequence axis ({'; '.join(map(str, m.inputs))})", do="lab.fix_shapes")
    if not any("mask" in name for name in axes):
        raise BadInput(
            f"{m.name} takes no mask: tokens that fill up a text would change its answers",
            accepted="a model with an attention mask among its inputs",
            do="lab.fix_shapes at the one length that all texts have",
        )
    if any(step.options.get("padding") is False for step in m.lineage):
        raise BadInput(
            f"{m.name} was optimized for texts without padding, and buckets pad them",
            accepted="a model that reads its mask",
            do="lab.optimize(m) without padding=False",
        )
    models = {n: fix_shapes(m, batch=batch, seq=n, name=f"{m.name}-{n}") for n in lengths}
    return Buckets(MappingProxyType(models), MappingProxyType(axes), m.name)

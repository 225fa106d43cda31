"""ClipPair: the two towers of a CLIP as two Models that stay together, with what turns their features into scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnx_lab._load import load
from onnx_lab.card import Card, Shown, Table, megabytes
from onnx_lab.errors import BadInput, BadModel
from onnx_lab.model import Model
from onnx_lab.workspace import write_json

FORMAT = 1
IMAGE_FEATURES, TEXT_FEATURES, SCORES = "image_features", "text_features", "logits_per_image"
_FILE = "pair.json"
#: What a Model has and a pair has not: asked for it, the pair says what to do instead.
_OF_ONE_MODEL = frozenset(
    "path header digest lineage inputs outputs size_bytes session_hints labels check_unchanged to_ir to_proto".split()
)


class TwoModels(BadInput, AttributeError):
    """A pair was given where one Model is taken."""


@dataclass(frozen=True, repr=False)
class ClipPair(Shown):
    """The image tower and the text tower of a CLIP.

    Made by `onnx_lab.export` from an open_clip model or a Hugging Face ``CLIPModel``, and by `ClipPair.load`.

    Attributes
    ----------
    image, text : Model
        Pictures, or tokens, to features of length 1: ``image_features`` and ``text_features``, ``(batch, size)``.
    logit_scale : float
        What the product of two features is multiplied with; the exponential is taken already.
    context_length : int
        Tokens that the text tower takes.
    logit_bias : float, optional
        What is added then; only models trained with a sigmoid (SigLIP) have it.
    name : str
        For tables and files.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> pair = lab.export(lab.samples.clip(offline=True).model, name="clip")    # doctest: +SKIP
    >>> pair.apply(lab.quantize).image.name                                     # doctest: +SKIP
    'clip-image-int8'
    """

    image: Model
    text: Model
    logit_scale: float
    context_length: int
    logit_bias: float | None = None
    name: str = "clip"

    def __getattr__(self, name: str) -> Any:
        if name in _OF_ONE_MODEL:
            raise TwoModels(
                f"{self.name} is a pair of two Models, and this takes one",
                accepted="pair.image, pair.text, or the one Model that pair.zero_shot(...) makes",
                do="pair.apply(verb, ...) does it to both, for instance pair.apply(lab.fp16)",
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def apply(self, transform: Callable[..., Model], **options: Any) -> ClipPair:
        """The pair whose towers are both `transform(tower, **options)`: one of the lab's transforms, or a Recipe.

        Raises
        ------
        BadInput
            When `transform` does not make a Model from a Model, or for ``name=``: each tower keeps a name of its own.
        """
        if "name" in options:
            raise BadInput("name= for a pair", accepted="options of the transform; each tower keeps its own name")
        if not callable(transform):
            raise BadInput(f"apply({transform!r:.60})", accepted="a transform", do="pair.apply(lab.fp16)")
        made = [transform(m, **options) for m in (self.image, self.text)]
        if not all(isinstance(m, Model) for m in made):
            raise BadInput(
                f"apply({getattr(transform, '__name__', transform)}) made a {type(made[0]).__name__}",
                accepted="a function that makes a Model from a Model: lab.optimize, lab.fp16, lab.quantize, a Recipe",
                do="call what measures on pair.image and pair.text",
            )
        return replace(self, image=made[0], text=made[1])

    def zero_shot(
        self,
        prompts: Sequence[str] | Sequence[Sequence[str]],
        classes: Sequence[str] | None = None,
        *,
        tokenizer: Any,
        name: str | None = None,
    ) -> Model:
        """One Model from pictures to scores: the image tower, and the prompts' features as the weights of a last layer.

        Parameters
        ----------
        prompts : sequence of str, or of sequences of str
            One for each class; of several for a class the mean of the features is taken.
        classes : sequence of str, optional
            Class names; they travel in the file. Default: the prompts, the first one of each class.
        tokenizer : callable
            The one that belongs to the text tower: open_clip's or Hugging Face's.
        name : str, optional
            Default ``"<image tower>-zero-shot"``.

        Returns
        -------
        Model
            Its output ``scores``, ``(batch, classes)``, is what CLIP calls logits per image.

        Raises
        ------
        BadInput
            Without prompts, or with another number of classes than prompts.
        """
        from onnx_lab.measure._zero_shot import head

        return head(self, prompts, classes, tokenizer, name)

    def save(self, folder: str | Path) -> Path:
        """Write image.onnx, text.onnx and pair.json into `folder`, which is made when it is not there.

        Raises
        ------
        WorkspaceError
            When the disk is full or the folder cannot be written.
        """
        place = Path(folder).expanduser()
        self.image.save(place / "image.onnx")
        self.text.save(place / "text.onnx")
        facts = {
            "kind": "ClipPair",
            "format": FORMAT,
            "name": self.name,
            "logit_scale": self.logit_scale,
            "logit_bias": self.logit_bias,
            "context_length": self.context_length,
        }
        write_json(place / _FILE, facts)
        return place

    @classmethod
    def load(cls, folder: str | Path) -> ClipPair:
        """Read what `save` wrote.

        Raises
        ------
        BadModel
            When a file is absent or not what it should be.
        """
        place = Path(folder).expanduser()
        facts = _facts(place / _FILE)
        image, text = (load(place / f"{part}.onnx", name=f"{facts['name']}-{part}") for part in ("image", "text"))
        bias = facts.get("logit_bias")
        scale, length = float(facts["logit_scale"]), int(facts["context_length"])
        return cls(image, text, scale, length, None if bias is None else float(bias), str(facts["name"]))

    def _card(self) -> Card:
        towers = {"image": self.image, "text": self.text}
        names = ("size", "nodes", "input", "output", "lineage", "parity")
        cells = tuple(zip(names, *map(_column, towers.values()), strict=True))
        bias = "" if self.logit_bias is None else f", bias {self.logit_bias:.4g} (sigmoid)"
        rows = [
            ("size", f"{megabytes(self.image.size_bytes + self.text.size_bytes)} together"),
            ("logit scale", f"{self.logit_scale:.4g}{bias}"),
            ("context", f"{self.context_length} tokens"),
        ]
        notes = [f"{part}: {n}" for part, m in towers.items() if m.lineage for n in _said(m.lineage[-1].notes)]
        return Card(f"{self.name}: a pair", rows, [Table(("", *(m.name for m in towers.values())), cells)], notes)


def _column(m: Model) -> tuple[str, ...]:
    parity = m.lineage[0].notes.get("parity", {}).get("largest") if m.lineage else None
    return (
        megabytes(m.size_bytes),
        f"{m.header.nodes} ({m.header.glue} glue)",
        "; ".join(map(str, m.inputs)),
        "; ".join(map(str, m.outputs)),
        " → ".join(s.verb for s in m.lineage) or "a file from elsewhere",
        "not checked" if parity is None else f"{parity:.1e}",
    )


def _said(notes: Mapping[str, Any]) -> list[str]:
    said = notes.get("say", ())
    return [str(s) for s in said] if isinstance(said, (list, tuple)) else [str(said)]


def _facts(file: Path) -> dict[str, Any]:
    accepted = "a folder that ClipPair.save wrote: image.onnx, text.onnx, pair.json"
    try:
        facts: dict[str, Any] = json.loads(file.read_text())
        found = (facts["kind"], int(facts["format"]), float(facts["logit_scale"]), int(facts["context_length"]))
    except FileNotFoundError:
        raise BadModel(f"no {_FILE} in {file.parent}", accepted=accepted) from None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise BadModel(f"{file} cannot be read: {type(e).__name__}: {e}", accepted=accepted) from None
    if found[0] != "ClipPair" or found[1] > FORMAT:
        raise BadModel(
            f"{found[0]} of format {found[1]}", accepted=f"ClipPair of format {FORMAT}", do="update onnx-lab"
        )
    return facts

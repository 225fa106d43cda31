"""Recipe: a list of transforms with their options. It is a transform itself, JSON on disk, and Python to read."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from onnx_lab.card import Card, Shown, Table
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.model import Model, Step
from onnx_lab.surgery import EDITS, NO_STEPS
from onnx_lab.task import Dataset

FORMAT = 1

#: Verb -> module that holds the function of that name.
VERBS: Mapping[str, str] = MappingProxyType(
    {
        "simplify": "onnx_lab.transforms.simplify",
        "optimize": "onnx_lab.transforms.optimize",
        "fix_shapes": "onnx_lab.transforms.fix_shapes",
        "fp16": "onnx_lab.transforms.fp16",
        "bf16": "onnx_lab.transforms.bf16",
        "mixed_precision": "onnx_lab.transforms.mixed_precision",
        "quantize": "onnx_lab.transforms.quantize",
    }
)

Options = Mapping[str, Any]

#: Options that are no text: a script names them, and leaves it to its reader to fill them in.
_DATA = ("data", "validate", "progress")


class Recipe(Shown):
    """A list of transforms with their options; calling it applies them in order.

    Parameters
    ----------
    steps : str, (str, mapping) or Recipe
        A verb, a verb with options, or another Recipe, whose steps are taken in.
    name : str, default "recipe"
        Ends the name of what it makes.

    Raises
    ------
    BadInput
        For an unknown verb or option, before any work is done.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> small = lab.Recipe("simplify", ("fp16", {"keep_io": True}), name="small")
    >>> [s.verb for s in small(lab.samples.tiny()).lineage]
    ['tiny', 'simplify', 'fp16']
    >>> lab.Recipe.from_json(small.to_json()) == small
    True
    """

    def __init__(self, *steps: str | tuple[str, Options] | Recipe, name: str = "recipe") -> None:
        self.name = name
        self.steps: tuple[tuple[str, dict[str, Any]], ...] = tuple(s for given in steps for s in _flattened(given))

    @classmethod
    def of(cls, model: Model, *, name: str | None = None) -> Recipe:
        """The transforms that made `model`, from its lineage; what came before them (an export) is not part of it.

        A search (`mixed_precision`) is taken by its outcome, an ``fp16`` with the nodes that it found, without data.
        """
        made = [_outcome(s) for s in model.lineage if s.verb in VERBS or _is_edit(s.verb)]
        return cls(*made, name=name or model.name)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read what `to_json` wrote.

        Raises
        ------
        BadInput
            When the text is no recipe, of a newer format, or holds an unknown verb or option.
        """
        try:
            value = json.loads(text)
            steps = [(s["verb"], s["options"]) for s in value["steps"]]
            kind, number, name = value["kind"], value["format"], value["name"]
        except (ValueError, KeyError, TypeError) as e:
            raise BadInput(f"no recipe: {e!r}", accepted="the text that Recipe.to_json() returns") from None
        if kind != "Recipe" or number > FORMAT:
            raise BadInput(f"{kind} of format {number}", accepted=f"Recipe of format {FORMAT}", do="update onnx-lab")
        return cls(*steps, name=name)

    def __call__(self, m: Model, *, data: Dataset | None = None, name: str | None = None) -> Model:
        """Apply all steps to `m`; the last result bears `name` (default: the input's name and the recipe's).

        `data` is for steps that were calibrated: a lineage tells which feeds they saw, and does not hold them.
        """
        for i, (verb, options) in enumerate(self.steps):
            last = {"name": name or f"{m.name}-{self.name}"} if i == len(self.steps) - 1 else {}
            given = {"data": data} if data is not None and "data" in options else {}
            m = function(verb)(m, **{**options, **given, **last})
        return m

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and (self.name, self.steps) == (other.name, other.steps)

    def __hash__(self) -> int:
        return hash((self.name, self.to_json()))

    def to_json(self) -> str:
        """The recipe as JSON, with ``kind`` and ``format`` for later readers.

        Raises
        ------
        BadInput
            When a step holds data or a function.
        """
        steps = [{"verb": v, "options": o} for v, o in self.steps]
        try:
            return json.dumps({"kind": "Recipe", "format": FORMAT, "name": self.name, "steps": steps}, indent=1)
        except TypeError as e:
            raise BadInput(
                f"recipe {self.name} holds what JSON cannot: {e}",
                accepted="options of text, numbers and lists",
                do="apply it once: Recipe.of(result) takes the outcome of mixed_precision, without data",
            ) from None

    def to_python(self) -> str:
        """The recipe as a Python script over onnx_lab.

        Examples
        --------
        >>> print(Recipe(("simplify", {"tool": "onnxslim"})).to_python())
        import onnx_lab as lab
        <BLANKLINE>
        m = lab.load("model.onnx")
        m = lab.simplify(m, tool='onnxslim')
        m.save("recipe.onnx")
        """
        lines = [f"m = lab.{verb}({', '.join(['m', *_arguments(options)])})" for verb, options in self.steps]
        return "\n".join(
            ["import onnx_lab as lab", "", 'm = lab.load("model.onnx")', *lines, f'm.save("{self.name}.onnx")']
        )

    def _card(self) -> Card:
        cells = tuple((verb, ", ".join(_arguments(options))) for verb, options in self.steps)
        return Card(f"recipe {self.name}", (), [Table(("step", "options"), cells)])


def _outcome(step: Step) -> tuple[str, dict[str, Any]]:
    if step.verb != "mixed_precision":
        return step.verb, dict(step.options)
    kept: dict[str, Any] = {"keep_io": step.options["keep_io"], "block_nodes": list(step.notes["float32_nodes"])}
    return "fp16", kept | ({"tool": step.options["tool"]} if step.options["tool"] != "onnxruntime" else {})


def function(verb: str) -> Callable[..., Model]:
    """The transform of this name. Raises BadInput with the nearest one."""
    if verb not in VERBS and not _is_edit(verb):
        known = [*VERBS, *(f"surgery.{e}" for e in EDITS if _is_edit(f"surgery.{e}"))]
        raise BadInput(f"step {verb!r}", accepted=", ".join(known), do=did_you_mean(verb, known))
    module = VERBS.get(verb, f"onnx_lab.transforms.{verb}")
    found: Callable[..., Model] = getattr(importlib.import_module(module), verb.rpartition(".")[2])
    return found


def _is_edit(verb: str) -> bool:
    """Whether a step is an edit that makes one Model of one: ``"surgery.expose"``."""
    edit = verb.removeprefix("surgery.")
    return edit != verb and edit in EDITS and edit not in NO_STEPS


def _flattened(given: str | tuple[str, Options] | Recipe) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(given, Recipe):
        return list(given.steps)
    if isinstance(given, str):
        given = (given, {})
    if not isinstance(given, tuple) or len(given) != 2 or not isinstance(given[1], Mapping):
        raise BadInput(f"step {given!r}", accepted='"verb", ("verb", {options}) or a Recipe')
    verb, options = given
    known = list(inspect.signature(function(verb)).parameters)[1:]  # all but the Model
    for option in options:
        if option not in known or option == "name":
            accepted = [k for k in known if k != "name"]
            raise BadInput(
                f"{verb}: option {option!r}", accepted=", ".join(accepted), do=did_you_mean(option, accepted)
            )
    return [(verb, dict(options))]


def _arguments(options: Options) -> list[str]:
    return [f"{k}={k}" if k in _DATA else f"{k}={v!r}" for k, v in options.items()]

"""What a dashboard knows, as plain data: what was chosen, and what was found out about each variant.

Nothing here is a widget or a Model: texts, numbers and tuples, which JSON holds. A step is kept as the words that a
magic's line would have, so that what is shown, what is run and what is saved are one thing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnx_lab.errors import BadInput

FORMAT = 1

#: What can be said of a variant.
STATES = ("planned", "making", "measuring", "done", "failed")


@dataclass(frozen=True)
class Step:
    """One step of a recipe: the verb, and its options as a magic's line has them (``"true"`` for a flag)."""

    verb: str
    options: tuple[tuple[str, str], ...] = ()

    def with_option(self, name: str, text: str | None) -> Step:
        """The same step with one option changed; None takes it out.

        Examples
        --------
        >>> Step("quantize").with_option("method", "static").with_option("method", None)
        Step(verb='quantize', options=())
        """
        known = {k: v for k, v in self.options if k != name}
        return Step(self.verb, tuple((known | ({} if text is None else {name: text})).items()))


@dataclass(frozen=True)
class Draft:
    """A step of the form: whether it is ticked, and what it would do."""

    step: Step
    on: bool = False


@dataclass(frozen=True)
class Budget:
    """What a variant has to meet; None where nothing is asked."""

    points: float = 1.0
    cosine: float = 0.99
    ms: float | None = None
    mb: float | None = None


#: What outputs are compared on where nobody chose anything.
RANDOM_FEEDS = "random feeds"


@dataclass(frozen=True)
class Measuring:
    """The shape that is timed, and the seconds that it may take."""

    batch: int = 1
    seq: int = 128
    seconds: float = 20.0

    @property
    def search_seconds(self) -> float:
        """What a search may measure: it times several, one after the other."""
        return 3 * self.seconds


@dataclass(frozen=True)
class Variant:
    """One file on one target: how it comes to be, and what is known of it.

    Attributes
    ----------
    parent : str or None
        The variant that its last step starts from; None for the model as it came.
    steps : tuple of Step
        All steps since the source.
    state : str
        One of `STATES`; `error` says why it failed.
    path : str
        The file in the workspace, empty until it is made.
    asked : str
        What its answers were judged by: the task's name, that of the data, or ``"random feeds"``.
    ratio : float or None
        Times as fast as the first variant, with its 99 % limits.
    verdict, speed : str
        What speaks for or against it; faster, slower, or too noisy to say.
    at : str
        The shape that its timings are of: ``"batch 1, sequence 128"``.
    unjudged, untimed : str
        Why its answers could not be judged, or why it took no part in the benchmark; empty where it was, and did.
    """

    id: str
    name: str
    parent: str | None = None
    steps: tuple[Step, ...] = ()
    target: str = "cpu"
    state: str = "planned"
    error: str = ""
    path: str = ""
    size_bytes: int | None = None
    nodes: int | None = None
    p50: float | None = None
    low: float | None = None
    high: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    speed: str = ""
    provider: str = ""
    asked: str = ""
    accuracy: float | None = None
    cosine: float | None = None
    changed: float | None = None
    qualifies: bool = False
    taken: bool = False
    verdict: str = ""
    notes: tuple[str, ...] = ()
    at: str = ""
    unjudged: str = ""
    untimed: str = ""

    def settled(self) -> Variant:
        """The same when nothing is under way."""
        if self.state not in ("making", "measuring"):
            return self
        return dataclasses.replace(self, state="done" if self.path and self.state == "measuring" else "planned")


@dataclass(frozen=True)
class State:
    """Everything that a dashboard shows.

    Attributes
    ----------
    source : str
        As in a magic's line: the name of a variable, a path, a hub name, or ``lab.samples.bert()``.
    is_model : bool
        The source is a Model already, and its first line is no export.
    task, data : str
        Likewise, at most one of them: what accuracy means, or feeds on which outputs are compared. Both are empty for
        random feeds.
    given : tuple of str
        Which of these names the dashboard alone knows: what was handed to it has none in the notebook.
    drafts : tuple of Draft
        The steps of the form, in order.
    """

    id: str
    source: str = ""
    is_model: bool = False
    task: str = ""
    data: str = ""
    given: tuple[str, ...] = ()
    target: str = "cpu"
    drafts: tuple[Draft, ...] = ()
    budget: Budget = field(default_factory=Budget)
    measuring: Measuring = field(default_factory=Measuring)
    variants: tuple[Variant, ...] = ()
    selected: str = ""

    def variant(self, id: str) -> Variant | None:  # noqa: A002  (the field's name)
        """The variant with this id."""
        return next((v for v in self.variants if v.id == id), None)

    @property
    def compared_on(self) -> str:
        """What outputs are compared on where there is no task, in words."""
        return self.data or RANDOM_FEEDS

    @property
    def baseline(self) -> Variant | None:
        """The model as it came: what all others are compared with."""
        return next((v for v in self.variants if v.parent is None), None)

    @property
    def best(self) -> Variant | None:
        """The variant to take."""
        return next((v for v in self.variants if v.taken), None)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that are ticked."""
        return tuple(d.step for d in self.drafts if d.on)

    def lineage(self, v: Variant) -> tuple[Variant, ...]:
        """`v` and what it comes from, oldest first."""
        found = [v]
        while (up := self.variant(found[0].parent or "")) is not None and up not in found:
            found.insert(0, up)
        return tuple(found)


def to_json(state: State) -> dict[str, Any]:
    """The state as JSON values, with ``kind`` and ``format`` for later readers.

    Examples
    --------
    >>> from_json(to_json(State("a", source="m"))).source
    'm'
    """
    return {"kind": "Dashboard", "format": FORMAT, **dataclasses.asdict(state)}


def from_json(value: Mapping[str, Any]) -> State:
    """Read what `to_json` wrote; what was under way when it was written counts as planned.

    Raises
    ------
    BadInput
        When it is no dashboard, or of a newer format.
    """
    try:
        if value["kind"] != "Dashboard" or value["format"] > FORMAT:
            raise BadInput(f"{value['kind']} of format {value['format']}", accepted=f"Dashboard of format {FORMAT}")
        plain = {k: v for k, v in value.items() if k not in ("kind", "format")}
        plain["drafts"] = tuple(Draft(_step(d["step"]), d["on"]) for d in plain["drafts"])
        plain["budget"], plain["measuring"] = Budget(**plain["budget"]), Measuring(**plain["measuring"])
        plain["given"] = tuple(plain.get("given", ()))
        plain["variants"] = tuple(_variant(v) for v in plain["variants"])
        return State(**plain)
    except (KeyError, TypeError, AttributeError) as e:
        raise BadInput(f"no dashboard: {e!r}", accepted="what a dashboard saved") from None


def _step(value: Mapping[str, Any]) -> Step:
    return Step(value["verb"], tuple((k, v) for k, v in value["options"]))


def _variant(value: Mapping[str, Any]) -> Variant:
    steps, notes = tuple(_step(s) for s in value["steps"]), tuple(value["notes"])
    return Variant(**{**value, "steps": steps, "notes": notes}).settled()

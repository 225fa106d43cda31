"""What can be picked: objects of the notebook, files, samples and hub names, each by the words that name it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.jupyter._names import Names
from onnx_lab.task import Task

#: Classes whose objects `onnx_lab.export` takes, or that are Models already.
_MODELS = ("Model", "Module", "BaseEstimator")
_AGAIN = "run the cell that makes it, or hand it over: lab.dashboard(task=..., data=..., resume=True)"
_ACCEPTED = "a variable, a path, a sample or a hub name"


@dataclass(frozen=True)
class Sample:
    """One of `onnx_lab.samples`: the field that is exported, and whether it brings a Task and calibration feeds."""

    field: str
    with_task: bool = True


#: Name of a sample -> what it offers, known before it is loaded.
SAMPLES: Mapping[str, Sample] = {
    "bert": Sample("model"),
    "clip": Sample("classifier"),
    "vgg16": Sample("model"),
    "tiny": Sample("", with_task=False),
}


class Sources:
    """Names of the notebook, and of the samples that were loaded here.

    Parameters
    ----------
    scope : callable
        Gives the notebook's variables as they are now.
    """

    def __init__(self, scope: Callable[[], Mapping[str, Any]] = dict) -> None:
        self._scope = scope
        self._given: dict[str, Any] = {}
        self._lock = threading.Lock()

    def names(self) -> Names:
        """What a line may refer to: what was handed over first, then the notebook."""
        return Names(self._given, self._scope())

    def give(self, thing: Any, name: str) -> str:
        """The name of an object in the notebook; one that has none there is kept here under `name`."""
        for text, value in self.names()._walk():
            if value is thing:
                return text
        self._given[name] = thing
        return name

    @property
    def given(self) -> tuple[str, ...]:
        """Names of what was handed over and has none in the notebook."""
        return tuple(self._given)

    def models(self) -> list[str]:
        """What can be picked as the model."""
        return [*self.names().fitting(_MODELS), *(f"lab.samples.{n}()" for n in SAMPLES)]

    def tasks(self, source: str) -> list[str]:
        """What can be picked as the task: Tasks of the notebook and of the sample."""
        own = sample_name(source)
        return _once([*([f"{own}.task"] if own and SAMPLES[own].with_task else []), *self.names().fitting(("Task",))])

    def feeds(self, source: str) -> list[str]:
        """What can be picked as data: lists of Feeds of the notebook and of the sample."""
        own = sample_name(source)
        names = self.names()
        # a Task's own feeds are held out: calibrating on them would flatter the result
        here = names.fitting(("list", "tuple", "dict", "Batches"))
        # and one Feeds of a list is offered as the list
        here = [t for t in here if _is_feeds(names.get(t)) and "task" not in t and not t.endswith("]")]
        return _once([*([f"{own}.calibration"] if own and SAMPLES[own].with_task else []), *here])

    def data(self, text: str) -> Any:
        """The feeds of this name.

        Raises
        ------
        BadInput
            When it names nothing here, or something else.
        """
        found = self.value(text)
        if isinstance(found, str) or not _is_feeds(found):
            what = "no name here" if isinstance(found, str) else f"a {type(found).__name__}"
            accepted = "Feeds (a dict of input name to array), or a list of them"
            raise BadInput(f"{text} is {what}", accepted=accepted, do=_AGAIN)
        return [found] if isinstance(found, Mapping) else found

    def resolve(self, source: str) -> Any:
        """The object or path that a source's words mean; loads a sample, which may take seconds.

        Raises
        ------
        BadInput
            When it is empty, or nearly the name of a model of the notebook.
        """
        if not source:
            raise BadInput("no model", accepted=_ACCEPTED, do="pick one above")
        if own := sample_name(source):
            self._load(own)
            field = SAMPLES[own].field
            return getattr(self._given[own], field) if field else self._given[own]
        names = self.names()
        near = names.fitting(_MODELS) if source.isidentifier() and not names.known(source) else []
        if did_you_mean(source, near).startswith("did"):  # before a hub is asked for what is mistyped
            raise names.unknown(source, _MODELS, _ACCEPTED)
        return self.value(source)

    def value(self, text: str) -> Any:
        """The object of this name, or the words themselves: a path, a hub name."""
        root = text.partition(".")[0]
        if root in SAMPLES and text in (f"{root}.task", f"{root}.calibration") and root not in self.names().scope:
            self._load(root)
        names = self.names()
        return names.get(text) if names.known(text) else text

    def is_model(self, source: str) -> bool:
        """Whether the words name a Model of the notebook: it needs no export."""
        from onnx_lab.model import Model

        names = self.names()
        return names.known(source) and not is_file(source) and isinstance(names.get(source), Model)

    def task(self, text: str) -> Task | None:
        """The Task of this name, None for random feeds."""
        found = self.value(text) if text else None
        if found is None or isinstance(found, Task):
            return found
        what = "no name here" if isinstance(found, str) else f"a {type(found).__name__}"
        raise BadInput(f"{text} is {what}", accepted="the name of a Task", do=_AGAIN)

    def _load(self, name: str) -> None:
        import onnx_lab

        with self._lock:
            if name not in self._given:
                self._given[name] = getattr(onnx_lab.samples, name)()


def sample_name(source: str) -> str:
    """``bert`` of ``lab.samples.bert()``; empty for all else.

    Examples
    --------
    >>> sample_name("lab.samples.bert()"), sample_name("net")
    ('bert', '')
    """
    name = source.removeprefix("lab.samples.").removesuffix("()")
    return name if name in SAMPLES and source == f"lab.samples.{name}()" else ""


def is_file(source: str) -> bool:
    """Whether the words name an ONNX file."""
    return source.lower().endswith(".onnx") or (
        ("/" in source or "\\" in source) and Path(source).expanduser().is_file()
    )


def export_line(source: str, to: str = "m") -> str:
    """The line that makes the first Model of a source that is none yet.

    Examples
    --------
    >>> print(export_line("lab.samples.bert()"))
    bert = lab.samples.bert()
    m = %onnx_export bert.model
    """
    if own := sample_name(source):
        field = SAMPLES[own].field
        return f"{own} = {source}\n{to} = %onnx_export {own}.{field}" if field else f"{to} = {source}"
    if is_file(source):
        return f'{to} = lab.load("{source}")'
    return f"{to} = %onnx_export {source}" if source else ""


def _is_feeds(value: Any) -> bool:
    first = value if isinstance(value, dict) else value[0] if hasattr(value, "__getitem__") and len(value) else None
    return isinstance(first, dict) and bool(first) and all(isinstance(x, np.ndarray) for x in first.values())


def _once(words: list[str]) -> list[str]:
    return list(dict.fromkeys(words))

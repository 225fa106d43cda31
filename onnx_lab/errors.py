"""Every error the lab raises on purpose, in one tree.

    OnnxLabError
     ├── BadModel          the file is not a model we can read: empty, cut off, not ONNX, weights missing
     ├── BadInput          an argument or a feed: wrong name, dtype, rank, dimension, option
     ├── MissingExtra      a library is not installed; names the extra that brings it
     ├── NotInThisVersion  a door that is announced and not yet open
     ├── ExportError       a framework object could not become a Model
     │    ├── UnsupportedOperator   names the operator, the user's module and source line
     │    └── ParityError           exported, and its answers differ from the source's
     ├── TransformError    a transform could not be carried out; its input is untouched
     ├── ProviderError     an execution provider is absent, or did not run the nodes it was asked to run
     ├── WorkerError       the child process that ran an engine died, was killed or hung
     ├── WorkspaceError    the workspace could not be written: disk full, no permission
     └── Stopped           the user interrupted a step; also a KeyboardInterrupt

Each message has three parts: what came, what is accepted, what to do next. In a notebook it is shown without
a traceback and the cell still fails, so Run All stops.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable

#: Show full tracebacks in notebooks; the magics set it from ``%config OnnxLab.debug``.
debug: bool = False


class OnnxLabError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    came : str
        What was met, with the value that was met in it.
    accepted : str, optional
        What would have been accepted.
    do : str, optional
        The next step for the reader.

    Examples
    --------
    >>> print(BadInput("opset 99", accepted="opset 7 to 26", do="leave opset out"))
    opset 99
      accepted: opset 7 to 26
      try: leave opset out
    """

    def __init__(self, came: str, *, accepted: str = "", do: str = "") -> None:
        self.came, self.accepted, self.do = came, accepted, do
        lines = [came]
        if accepted:
            lines.append(f"  accepted: {accepted}")
        if do:
            lines.append(f"  try: {do}")
        super().__init__("\n".join(lines))

    def _render_traceback_(self) -> list[str]:
        """Lines IPython prints in place of a traceback (its own hook for exceptions)."""
        if debug:
            return traceback.format_exception(type(self), self, self.__traceback__)
        first, *rest = str(self).splitlines() or [""]
        return [f"{type(self).__name__}: {first}", *rest]


class BadModel(OnnxLabError):
    """A file is not a model that can be read, or not one that can be run."""


class BadInput(OnnxLabError, ValueError):
    """An argument, option or feed is not what the function takes."""


class MissingExtra(OnnxLabError, ImportError):
    """A library that the call needs is not installed."""


class NotInThisVersion(OnnxLabError, NotImplementedError):
    """The option is reserved and not built yet."""


class ExportError(OnnxLabError):
    """A framework object could not become a Model."""


class UnsupportedOperator(ExportError):
    """The model uses an operator that has no ONNX form in this exporter."""


class ParityError(ExportError):
    """The exported model's answers differ from its source's."""


class TransformError(OnnxLabError):
    """A transform could not be carried out; the input Model is unchanged."""


class ProviderError(OnnxLabError):
    """An execution provider is absent, or did not run what it was asked to run."""


class WorkerError(OnnxLabError):
    """The child process that ran an engine died, was killed, or did not answer in time."""


class WorkspaceError(OnnxLabError, OSError):
    """The workspace could not be read or written."""


class Stopped(OnnxLabError, KeyboardInterrupt):
    """The user interrupted a step; nothing half-done is left behind."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A short hint naming the closest choice, or all choices when none is close.

    Examples
    --------
    >>> did_you_mean("opennvino", ["cpu", "openvino"])
    "did you mean 'openvino'?"
    >>> did_you_mean("zzz", ["cpu", "openvino"])
    'choose from: cpu, openvino'
    """
    names = list(choices)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else "choose from: " + ", ".join(names)


def missing(library: str, extra: str) -> MissingExtra:
    """The error for a library that is not installed.

    Examples
    --------
    >>> print(missing("torch", "torch"))
    'torch' is not installed
      try: pip install 'onnx-lab[torch]'
    """
    return MissingExtra(f"{library!r} is not installed", do=f"pip install 'onnx-lab[{extra}]'")

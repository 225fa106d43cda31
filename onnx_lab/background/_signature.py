"""What a job's function takes, asked before a child is started: a slip of the pen is told where it was made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any

from onnx_lab.errors import BadInput, did_you_mean

_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
#: What `onnx_lab.start` takes itself, beside the function's options.
_OF_START = ("job_name", "memory_mb", "timeout_s", "in_turn")


def function_of(verb: str) -> Callable[..., Any]:
    """The public function that a job is about; importing its module takes 3 to 35 ms, the first time.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> function_of("bench") is lab.bench, function_of("surgery.expose") is lab.surgery.expose
    (True, True)
    """
    import onnx_lab

    owner, _, name = verb.rpartition(".")
    found: Callable[..., Any] = getattr(getattr(onnx_lab, owner) if owner else onnx_lab, name)
    return found


def check_call(verb: str, positional: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Refuse a call that the function would not take; what the values are is the function's own affair.

    Raises
    ------
    BadInput
        For an option that it does not have, too much by position, something given twice, or something left out.

    Examples
    --------
    >>> check_call("optimize", ("a model",), {"tagret": "cuda"})
    Traceback (most recent call last):
    onnx_lab.errors.BadInput: optimize: no option 'tagret'
      accepted: m, target, disable, enable, attention, padding, offline, name
      try: did you mean 'target'?
    """
    parameters = inspect.signature(function_of(verb)).parameters.values()
    kinds = {p.kind for p in parameters}
    named = [p.name for p in parameters if p.kind in _BY_NAME]
    places = [p.name for p in parameters if p.kind in _BY_POSITION]
    filled = places[: len(positional)]
    takes = ", ".join(p.name for p in parameters)
    for option in options:
        if option not in named and Parameter.VAR_KEYWORD not in kinds:
            hint = did_you_mean(option, [*named, *_OF_START])
            raise BadInput(
                f"{verb}: no option {option!r}", accepted=takes, do=hint if hint.startswith("did you mean") else ""
            )
        if option in filled:
            raise BadInput(f"{verb}: {option} is given twice, by position and by name", accepted="one of the two")
    if len(positional) > len(places) and Parameter.VAR_POSITIONAL not in kinds:
        raise BadInput(
            f"{verb}: {len(positional)} values by position", accepted=f"at most {len(places)}: {', '.join(places)}",
            do="the others by name",
        )  # fmt: skip
    needed = [p.name for p in parameters if p.default is Parameter.empty and p.kind in (*_BY_POSITION, *_BY_NAME)]
    if missing := [n for n in needed if n not in filled and n not in options]:
        raise BadInput(
            f"{verb}: {' and '.join(missing)} left out", accepted=takes, do=f"lab.start({verb!r}, {', '.join(needed)})"
        )

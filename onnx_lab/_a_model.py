"""The one check that what was given as a Model is one: a path or a network of a framework is told what to do first."""

from __future__ import annotations

import os
from typing import Any

from onnx_lab.errors import BadInput
from onnx_lab.model import Model


def check_model(*given: Any) -> None:
    """Let Models pass.

    Raises
    ------
    BadInput
        For anything else; nothing is loaded or exported on the way.

    Examples
    --------
    >>> check_model("a.onnx")
    Traceback (most recent call last):
    onnx_lab.errors.BadInput: a str 'a.onnx'
      accepted: a Model
      try: lab.load('a.onnx') first
    """
    for one in given:
        if not isinstance(one, Model):
            raise not_a_model(one)


def not_a_model(given: Any, accepted: str = "a Model") -> BadInput:
    """The error for something that is none, with the way from it to a Model.

    Examples
    --------
    >>> print(not_a_model(3, accepted="a Model or a torch.nn.Module"))
    a int 3
      accepted: a Model or a torch.nn.Module
      try: lab.load(path) for a file, lab.export(obj) for anything else
    """
    from onnx_lab.pair import ClipPair, TwoModels

    if isinstance(given, ClipPair):
        try:
            given.header  # noqa: B018  (a pair has words of its own)
        except TwoModels as e:
            return e
    kind = type(given).__name__
    if isinstance(given, str | os.PathLike):
        path = os.fspath(given)
        return BadInput(f"a {kind} {path!r}", accepted=accepted, do=f"lab.load({path!r}) first")
    if callable(getattr(given, "state_dict", None)) or hasattr(given, "get_config"):  # of PyTorch, of Keras
        return BadInput(f"a {kind}, a network of a framework", accepted=accepted, do="lab.export(net) first")
    words = f" {given!r:.60}" if isinstance(given, int | float | bool | list | tuple | dict) else ""
    return BadInput(
        f"a {kind}{words}", accepted=accepted, do="lab.load(path) for a file, lab.export(obj) for anything else"
    )

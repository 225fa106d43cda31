"""``%onnx_lab``: the dashboard as a magic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from IPython.core.magic import no_var_expand

from onnx_lab.jupyter._manual import Manual
from onnx_lab.jupyter._parse import parse
from onnx_lab.jupyter._signature import Signature

NAME = "onnx_lab"


def lab_magic(owner: Any) -> Callable[..., Any]:
    """The callable that IPython registers as ``%onnx_lab``; `owner` knows the notebook's names."""

    def magic(line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        from onnx_lab.jupyter.dashboard.board import dashboard

        call = parse(f"%{NAME}", _signature(), line, owner.names(local_ns))
        if call.help:
            return Manual(f"%{NAME}", _signature())
        if owner.target:
            call.arguments.setdefault("target", owner.target)
        return dashboard(**call.arguments)

    known: Any = no_var_expand(magic)  # objects stay objects
    known.__name__ = NAME
    known.__doc__ = "lab.dashboard as a magic; %onnx_lab -h is its manual."
    known.needs_local_scope = True
    known.getdoc = lambda: repr(Manual(f"%{NAME}", _signature()))
    return cast("Callable[..., Any]", known)


def _signature() -> Signature:
    from onnx_lab.jupyter._signature import read
    from onnx_lab.jupyter.dashboard.board import dashboard

    return read(dashboard)

"""A call on its way to a child: Models as their paths, classes of the notebook by value, or the reason why not."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

from onnx_lab.runtime._pickled import search_path


class CannotTravel(Exception):
    """What was given works in this process only."""


def packed(verb: str, arguments: Mapping[str, Any]) -> bytes:
    """The call as bytes.

    Raises
    ------
    CannotTravel
        For objects with open files, threads, engines, or data that is read only once.
    """
    for name, value in arguments.items():
        for one in value if isinstance(value, tuple) else [value]:
            if hasattr(one, "__next__"):
                raise CannotTravel(f"{name} is an iterator, which only this process can read")
    try:
        import cloudpickle as tool
    except ImportError:
        tool = pickle
    data = io.BytesIO()
    try:
        tool.dump((verb, dict(arguments)), data)
    except Exception as e:
        raise CannotTravel(f"{type(e).__name__}: {e}") from e
    return pickle.dumps((search_path(), data.getvalue()))

"""A PyTorch module on its way through the pipe: from memory to memory, never over the disk."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from onnx_lab.errors import BadInput, missing
from onnx_lab.runtime.keras_models import as_torch

if TYPE_CHECKING:
    import torch


def pickled_module(module: torch.nn.Module) -> bytes:
    """The module as bytes: its weights as raw storages, classes of a notebook by value.

    Raises
    ------
    MissingExtra
        Without cloudpickle.
    BadInput
        For what cannot be pickled.
    """
    import torch

    try:
        import cloudpickle
    except ImportError:
        raise missing("cloudpickle", "torch") from None
    data = io.BytesIO()
    try:
        torch.save(as_torch(module), data, pickle_module=cloudpickle)
    except BadInput:
        raise
    except Exception as e:
        raise BadInput(
            f"{type(module).__name__} cannot be sent to another process: {type(e).__name__}: {e}",
            accepted="a module without open files, locks or hooks that hold them",
            do="remove such attributes, or measure its export instead",
        ) from e
    return data.getvalue()


def search_path() -> list[str]:
    """``sys.path`` for the child, where the empty entry (the working folder) means nothing."""
    return [p or os.getcwd() for p in sys.path if isinstance(p, str)]

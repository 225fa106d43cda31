"""Who answers: a Model on a target, or a PyTorch module, behind one callable ``feeds -> outputs``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Union

import numpy as np
import numpy.typing as npt

from onnx_lab._a_model import not_a_model
from onnx_lab.model import Model
from onnx_lab.runtime.client import Worker, session
from onnx_lab.runtime.keras_models import module_name
from onnx_lab.runtime.target import Target
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import torch

Answers = dict[str, npt.NDArray[np.generic]]
#: What the measuring verbs take: a Model, or the PyTorch module it came from.
Answerer = Union[Model, "torch.nn.Module"]


@contextmanager
def answering(who: Answerer, target: Target | str | None) -> Iterator[Callable[[Feeds], Answers]]:
    """A callable that runs `who` on feeds, in a child process. PyTorch runs eager on the CPU whatever `target` says.

    Raises
    ------
    BadInput
        When `who` is neither a Model nor a module.
    """
    if isinstance(who, Model):
        yield session(who, target).run
    elif callable(getattr(who, "state_dict", None)):  # a torch.nn.Module, told without importing torch
        with Worker.for_torch(who, threads=Target.of(target).thread_count) as worker:
            yield worker.run
    else:
        raise not_a_model(who, accepted="a Model or a torch.nn.Module")


def name_of(who: Answerer) -> str:
    """Short name for titles."""
    return who.name if isinstance(who, Model) else module_name(who)

"""What the modules inside of a PyTorch module return, heard by forward hooks. Runs in the child only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def hearing(module: Any, names: Sequence[str], torch: Any) -> Iterator[dict[str, Any]]:
    """While open, the first tensor that each of these modules returns; not of one that is called more than once.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ReLU())
    >>> with hearing(net, ["1"], torch) as returned:
    ...     _ = net(torch.tensor([-1.0, 2.0]))
    >>> returned
    {'1': tensor([0., 2.])}
    """
    wanted, returned, calls = set(names), dict[str, Any](), dict[str, int]()

    def hook(name: str) -> Any:
        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            tensor = _first_tensor(output, torch)
            if calls[name] > 1 or tensor is None:
                returned.pop(name, None)
            else:
                returned[name] = tensor.detach().clone()  # what follows may write into it

        return keep

    handles = [m.register_forward_hook(hook(n)) for n, m in module.named_modules() if n in wanted]
    try:
        yield returned
    finally:
        for handle in handles:
            handle.remove()


def _first_tensor(output: Any, torch: Any) -> Any:
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else [output]
    return next((p for p in parts if isinstance(p, torch.Tensor)), None)

"""The cache key of a module changes with its weights, attributes and code, and with nothing else."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch
from torch import nn

from onnx_lab.exporters._identity import folder_identity, module_identity, value_identity


def made(code: str) -> nn.Module:
    """A module from source text, as a notebook cell makes it."""
    scope: dict[str, Any] = {"nn": nn, "torch": torch, "__name__": "__main__"}
    exec(compile(code, "<ipython-input-1>", "exec"), scope)
    torch.manual_seed(0)
    net = scope["Net"]()
    assert isinstance(net, nn.Module)
    return net


NET = """
def half(x):
    return x / 2
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 2)
        self.scale = 3
    def forward(self, x):
        return half(self.a(x)) * self.scale
"""


def test_the_same_source_gives_the_same_key() -> None:
    first = module_identity(made(NET))
    assert first is not None
    assert first == module_identity(made(NET)) == module_identity(made("\n\n# moved" + NET))


def test_weights_code_helpers_attributes_and_example_count() -> None:
    keys = {
        module_identity(made(NET)),
        module_identity(made(NET.replace("* self.scale", "+ self.scale"))),
        module_identity(made(NET.replace("x / 2", "x / 4"))),
        module_identity(made(NET.replace("self.scale = 3", "self.scale = 4"))),
        module_identity(made(NET), torch.zeros(2, 2)),
        module_identity(made(NET), torch.ones(2, 2)),
    }
    net = made(NET)
    with torch.no_grad():
        next(net.parameters())[0, 0] += 1
    keys.add(module_identity(net))
    assert None not in keys
    assert len(keys) == 7


def test_hooks_count() -> None:
    net = made(NET)
    before = module_identity(net)
    net.register_forward_hook(lambda *args: args[-1] * 2)
    assert module_identity(net) != before


def test_training_mode_does_not_count() -> None:
    assert module_identity(made(NET).train()) == module_identity(made(NET).eval())


def test_what_cannot_be_identified_has_no_key() -> None:
    net = made(NET)
    net.lock = threading.Lock()  # type: ignore[assignment]
    assert module_identity(net) is None
    assert value_identity(threading.Lock()) is None


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    first = folder_identity(tmp_path.iterdir())
    (tmp_path / "b").write_bytes(b"3")
    assert folder_identity(tmp_path.iterdir()) != first

"""Modules for export tests, and a line number by its text."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def nets() -> ModuleType:
    """The module with the small networks."""
    import nets

    return nets


@pytest.fixture(scope="session")
def line_of() -> Callable[[str], int]:
    """Line number in nets.py of the first line that holds a text."""
    lines = (Path(__file__).parent / "nets.py").read_text().splitlines()
    return lambda text: next(i for i, line in enumerate(lines, 1) if text in line)


@pytest.fixture(scope="session", autouse=True)
def one_operator_table() -> Iterator[None]:
    """Read torch's table of operators once: it takes most of the second that a small export costs.

    Private to torch: where it is not found under this name, the tests are only slower.
    """
    with contextlib.suppress(ImportError, AttributeError), pytest.MonkeyPatch.context() as patch:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield
        return
    yield

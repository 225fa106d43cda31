"""What every result shares: text and HTML, JSON with a version, a table for pandas, the machine it came from."""

from __future__ import annotations

import dataclasses
import functools
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from onnx_lab import workspace
from onnx_lab.card import Shown
from onnx_lab.runtime.target import allowed_cpus

if TYPE_CHECKING:
    import pandas as pd

    from onnx_lab.plots.chart import Chart


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where a result was measured: part of every result."""

    cpu: str
    threads: int
    system: str
    python: str
    versions: dict[str, str]


@functools.cache
def this_machine() -> Machine:
    """The machine in front of us and the versions of the libraries whose numbers we quote."""
    libraries = ["onnx-lab", "onnx", "onnxruntime", "onnxruntime-gpu", "onnxruntime-ep-openvino", "torch"]
    return Machine(
        _cpu_name(), allowed_cpus(), platform.platform(), platform.python_version(), workspace.versions(libraries)
    )


class Result(Shown):
    """Base of all results: frozen dataclasses that keep raw values and derive the rest.

    Subclasses set `FORMAT` (raise it when the JSON changes), implement `_card` and `_records`.
    """

    FORMAT: ClassVar[int] = 1

    def _records(self) -> list[dict[str, Any]]:
        """One dict per row of the result's main table."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The whole result, raw values included, with ``kind`` and ``format`` for later readers."""
        value = {"kind": type(self).__name__, "format": self.FORMAT, **_fields(self)}
        return json.dumps(value, default=_plain)

    def to_pandas(self) -> pd.DataFrame:
        """The main table as a pandas DataFrame. Raises MissingExtra without pandas."""
        try:
            import pandas as pd
        except ImportError:
            from onnx_lab.errors import missing

            raise missing("pandas", "lab") from None
        return pd.DataFrame(self._records())

    def plot(self) -> Chart:
        """The result as a figure with its table; ``.figure`` is the Plotly figure. Raises MissingExtra."""
        from onnx_lab import plots  # plots know results, not the reverse: see docs/decisions.md

        return plots.chart(self)


def _fields(result: Any) -> dict[str, Any]:
    return {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}


def _plain(o: Any) -> Any:
    """JSON for what the json module does not know: numpy, paths, dataclasses, anything with a name."""
    if isinstance(o, np.generic):
        return o.item()
    if isinstance(o, np.ndarray):
        return o.tolist()
    if isinstance(o, Path):
        return o.name
    if dataclasses.is_dataclass(o) and not isinstance(o, type):
        return _fields(o)
    return str(o)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

"""Models that ONNX Runtime has optimized already: saved once, loaded without optimizing again, and guarded.

What ONNX Runtime writes then depends on the CPU (it lays data out for its vector width), on its own version, on the
provider and on which optimizations were on. The file carries all of that and is refused where it does not hold.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab._a_model import check_model
from onnx_lab.errors import ProviderError, TransformError
from onnx_lab.model import Model
from onnx_lab.runtime._hardware import this_hardware
from onnx_lab.runtime.target import Target

if TYPE_CHECKING:
    from onnx_lab.runtime.client import Worker

#: Metadata of a file that was saved after ONNX Runtime's own optimization.
OFFLINE_KEY = "onnx_lab.offline"
#: Sessions of such a file do not optimize again.
LOAD_AS_IS = {"graph_optimization_level": "disable"}


def conditions(target: Target) -> dict[str, Any]:
    """What a file saved here and now for `target` depends on."""
    features = this_hardware().features
    return {
        "cpu": [platform.machine(), *sorted(name for name, has in features.items() if has)],
        "onnxruntime": workspace.versions(["onnxruntime", "onnxruntime-gpu"]),
        "provider": target.provider,
        "options": dict(target.options),
    }


def check_guard(m: Model, target: Target) -> None:
    """Let `m` pass unless it was saved for another CPU, ONNX Runtime, provider or options.

    Raises
    ------
    ProviderError
        Naming what the file was made for, what is here, and what to do.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> check_guard(lab.samples.tiny(), Target.of("cpu"))
    """
    if (made_for := _read(m)) is None:
        return
    here = conditions(target)
    differing = [k for k in here if made_for.get(k) != here[k]]
    if differing:
        raise ProviderError(
            f"{m.name} was optimized offline for {_say(made_for, differing)}; here is {_say(here, differing)}",
            accepted="the same kind of CPU, onnxruntime, provider and options",
            do="load the model that it was made from, or run lab.optimize(parent, offline=True) here",
        )


def refuse_frozen(m: Model, verb: str) -> None:
    """Refuse to transform a file that was optimized offline: it holds one machine's operators.

    Raises
    ------
    TransformError
    """
    check_model(m)
    if _read(m) is not None:
        raise TransformError(
            f"{verb}: {m.name} was optimized offline; its operators are those of one machine",
            accepted="a model before optimize(offline=True)",
            do=f"{verb} the model that it was made from, and optimize offline last",
        )


def save_optimized(path: Path, target: Target, hints: Mapping[str, Any], out: Path) -> float:
    """Have ONNX Runtime write what it makes of the model at `path`; return the seconds the session took to open.

    Runs in a child process, like every use of an engine.

    Raises
    ------
    BadModel, ProviderError, WorkerError
    """
    from onnx_lab.runtime.client import Worker

    m = workspace.open_model(path)
    with Worker.for_model(m, target, hints={**hints, "save_optimized_to": str(out)}) as worker:
        return float(worker.info["load_seconds"])


def load_seconds(path: Path, target: Target, hints: Mapping[str, Any]) -> float:
    """Seconds that a session of the file takes to open, the better of two."""
    from onnx_lab.runtime.client import Worker

    def once() -> float:
        worker: Worker
        with Worker.for_model(workspace.open_model(path), target, hints=dict(hints)) as worker:
            return float(worker.info["load_seconds"])

    return min(once(), once())


def _read(m: Model) -> dict[str, Any] | None:
    text = m.header.metadata.get(OFFLINE_KEY)
    return dict(json.loads(text)) if text else None


def _say(what: Mapping[str, Any], keys: list[str]) -> str:
    return "; ".join(f"{k} {_plain(what.get(k))}" for k in keys)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
